"""`bcdl ab --slurm`: all sides in one allocation of one node."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path

import pytest

from bcdl import ab, backends
from bcdl.runner.cluster import allocation, options
from tests.in_process import SMALL_TRAINING, InProcess, Said
from tests.runner.cluster.stand_in import StandIn


@dataclasses.dataclass
class Comparison:
    """A comparison of two sides, and the cluster that it is handed to."""

    slurm: StandIn
    results: Path
    in_process: InProcess

    def submit(self, *more: str) -> Said:
        sides = ("--a", "torch", "--b", "jax", "--models", "cnn", "--rounds", "2")
        return self.in_process(ab.main, *sides, *SMALL_TRAINING, "--results", self.results, "--slurm", *more)

    def replace_command(self, command: str) -> None:
        """Have the job run this, and not the comparison."""
        script = Path(self.slurm.jobs[-1]["script"])
        lines = [line for line in script.read_text().splitlines() if not line.startswith("exec ")]
        script.write_text("\n".join([*lines, command]) + "\n")


@pytest.fixture
def comparison(tmp_path: Path, slurm: StandIn, in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    return Comparison(slurm, tmp_path / "results", in_process)


def then(monkeypatch: pytest.MonkeyPatch, *deeds: object) -> None:
    """Do these, one each time that the driver pauses."""
    waiting = list(deeds)
    monkeypatch.setattr(allocation, "time", types.SimpleNamespace(sleep=lambda seconds: waiting.pop(0)()))


def test_one_job_gets_a_whole_node_and_runs_the_whole_comparison(comparison: Comparison) -> None:
    code, said, error = comparison.submit("--sbatch", "--partition=main", "--setup", "module load x || true")
    assert (code, error) == (0, "")
    (job,) = comparison.slurm.jobs
    assert not job["array"]
    assert {"--exclusive", "--nodes=1", "--partition=main"} < set(job["options"])
    script = Path(job["script"]).read_text()
    (command,) = (line for line in script.splitlines() if line.startswith("exec "))
    assert " -m bcdl ab --a torch --b jax --models cnn --rounds 2 " in command
    assert not any(word in command for word in ("--slurm", "--sbatch", "--setup", "partition"))
    assert "module load x || true" in script
    assert f"submitted as SLURM job {job['id']}" in said
    assert job["chdir"] == str(Path.cwd())


@pytest.mark.parametrize("code", [0, 1, 2, 66, 130])
def test_its_output_is_shown_and_its_exit_code_is_the_commands(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def run() -> None:
        comparison.replace_command(f"echo 'REGRESSION: cnn'; printf 'no end'; exit {code}")
        comparison.slurm.run(0)

    then(monkeypatch, run)
    left, said, _ = comparison.submit("--wait")
    assert left == code
    assert f"SLURM job {comparison.slurm.jobs[0]['id']} waits (Resources)\nREGRESSION: cnn\nno end\n" in said


def test_a_job_that_slurm_ended_is_an_error_with_the_reason(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    then(monkeypatch, lambda: comparison.slurm.end(0, "TIMEOUT", "0:15"))
    code, _, error = comparison.submit("--wait")
    assert code == 1
    assert "SLURM job 100: SLURM ended it at its time limit of 00:01:00" in error


def test_a_job_that_a_signal_ended_is_an_error_that_says_so(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    then(monkeypatch, lambda: comparison.slurm.end(0, "FAILED", "0:9"))
    code, _, error = comparison.submit("--wait")
    assert code == 1
    assert "SLURM job 100 was ended by a signal; its output is above" in error


def test_a_controller_that_is_silent_for_a_while_ends_nothing(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> None:
        comparison.slurm.set(silent=False)
        comparison.replace_command("echo done")
        comparison.slurm.run(0)

    then(monkeypatch, lambda: comparison.slurm.set(silent=True), run)
    code, said, _ = comparison.submit("--wait")
    assert (code, said.splitlines()[-1]) == (0, "done")


def test_resume_follows_the_job_that_is_under_way(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison.submit()

    def run() -> None:
        comparison.replace_command("echo done")
        comparison.slurm.run(0)

    then(monkeypatch, run)
    code, said, _ = comparison.submit("--resume", "--wait")
    assert code == 0
    assert "resumed: the comparison is under way as SLURM job 100" in said
    assert said.splitlines()[-1] == "done"
    assert len(comparison.slurm.jobs) == 1


def test_resume_hands_it_over_again_once_that_has_ended(comparison: Comparison) -> None:
    comparison.submit()
    comparison.slurm.end(0, "NODE_FAIL")
    comparison.submit("--resume")
    first, second = comparison.slurm.jobs
    assert first["name"] == second["name"]
    assert " --resume" in Path(second["script"]).read_text()


def test_options_of_a_cluster_without_one_are_refused(comparison: Comparison) -> None:
    arguments = ("--a", "torch", "--b", "jax", *SMALL_TRAINING, "--results", comparison.results)
    code, _, error = comparison.in_process(ab.main, *arguments, "--wait")
    assert (code, error.count("\n")) == (2, 1)
    assert "add --slurm, or leave them out" in error


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["--sbatch", "--time=5", "x"], ["--sbatch=--time=5", "x"]),
        (["--sbatch=--time=5", "--wait"], ["--sbatch=--time=5", "--wait"]),
        (["--setup", "module load x", "--wait"], ["--setup=module load x", "--wait"]),
        (["--sbatch", "--wait"], ["--sbatch", "--wait"]),
        (["--sbatch"], ["--sbatch"]),
    ],
)
def test_a_value_that_looks_like_an_option_is_joined_with_its_own(words: list[str], joined: list[str]) -> None:
    assert options.joined(words, ("--sbatch", "--setup", "--wait")) == joined
    left = [word for word in joined if word in ("x",)]
    assert [word for word in options.without(joined) if word != "--sbatch"] == left


def test_lines_are_shown_as_they_are_written(tmp_path: Path) -> None:
    file, shown = tmp_path / "log", []
    tail = allocation._Tail(file)
    for added, expected in (("", []), ("a\nb", ["a"]), ("c\n", ["a", "bc"]), ("\x1b[31md", ["a", "bc"])):
        with file.open("a") as log:
            log.write(added)
        tail.show_new(shown.append)
        assert shown == expected
    tail.show_new(shown.append, all_of_it=True)
    assert shown[-1] == "\\x1b[31md"
