"""A sprint: the order of what it does, and that nothing that goes wrong costs what comes after it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bcdl import backends, sprint
from bcdl.errors import BcdlError, UsageError
from bcdl.parity import references
from bcdl.records import archive, store
from bcdl.sprint import Item
from tests import factory
from tests.conftest import ROOT

HOME = sprint._Home(Path("results"), Path("out"))


def item(title: str, outcome: str | Exception, done: list[str]) -> Item:
    def do(seconds: float) -> str:
        done.append(title)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Item(title, do)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Titles of what a sprint would do if all backends were installed."""
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    return titles(monkeypatch, tmp_path)


def titles(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> list[str]:
    places = ["--device", "gpu", "--results", str(folder)]
    both = [] if "--backends" in options else ["--backends", "jax,torch"]
    monkeypatch.setattr(sys, "argv", ["sprint", *places, *both, *options])
    arguments, given = sprint._parse()
    return [each.title for each in sprint._plan(arguments, given, folder, folder)]


def test_the_most_valuable_is_first_and_the_backends_are_in_turn(planned: list[str]) -> None:
    cells = [title for title in planned if ", batch " in title]
    assert cells[:5] == [
        "resnet50 on jax, mixed_bfloat16, seed 0, batch 32",
        "resnet50 on torch, mixed_bfloat16, seed 0, batch 32",
        "mobilenet on jax, mixed_bfloat16, seed 0, batch 32",
        "mobilenet on torch, mixed_bfloat16, seed 0, batch 32",
        "resnet50 on jax, tf32, seed 0, batch 32",
    ]
    assert len(cells) == len(set(cells)) == 12
    assert planned.index("native-models, resnet50 on torch") < planned.index(cells[2])
    assert planned[-1] == "bcdl doctor"
    assert planned[-5:-1] == [
        f"largest-batch, {model} on {backend}" for model in ("resnet50", "mobilenet") for backend in ("jax", "torch")
    ]


def test_a_step_may_name_a_model_and_a_backend(
    planned: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = "tf32/mobilenet/torch,native-models/resnet50/torch,tf32/mobilenet,doctor,tf32/nasnetlarge"
    assert titles(monkeypatch, tmp_path, "--steps", steps) == [
        "the data of the cells",
        "mobilenet on torch, tf32, seed 0, batch 32",
        "native-models, resnet50 on torch",
        "mobilenet on jax, tf32, seed 0, batch 32",
        "bcdl doctor",
    ]
    assert "note: tf32/nasnetlarge has nothing to do" in capsys.readouterr().out


def test_parity_is_judged_of_the_models_that_have_a_reference(
    planned: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not any("parity" in title for title in titles(monkeypatch, tmp_path))
    assert "parity is left out, since no reference was carried" in capsys.readouterr().out
    monkeypatch.setattr(references, "read", lambda file: SimpleNamespace(facts={"plan": {"draws": 5}}))
    of = tmp_path / "references"
    of.mkdir()
    for name in ("mobilenet-32px-b4-seed0.npz", "mobilenet-96px-b8-seed1.npz", "cnn-96px-b4-seed0.npz", "notes.txt"):
        (of / name).touch()
    small, large = "parity, mobilenet of 32 px, batch 4, seed 0", "parity, mobilenet of 96 px, batch 8, seed 1"
    found = titles(monkeypatch, tmp_path, "--steps", "parity", "--parity", str(of))
    assert found == [f"{one}{end}" for one in (small, large) for end in (", on jax", ", on torch", "")]
    assert "note: parity with cnn-96px-b4-seed0.npz is left out: no step is of its model" in capsys.readouterr().out
    steps = "parity/mobilenet/torch,parity/mobilenet/jax"
    found = titles(monkeypatch, tmp_path, "--steps", steps, "--parity", str(of))
    assert found.index(small) > found.index(f"{small}, on jax") > found.index(f"{small}, on torch")
    found = titles(monkeypatch, tmp_path, "--steps", "parity,doctor", "--parity", str(of), "--backends", "jax")
    assert found == ["bcdl doctor"]
    assert "jax alone has nothing to be compared with" in capsys.readouterr().out
    assert sprint._draws(of / "any") == "5"


@pytest.mark.parametrize(
    "options",
    [
        *(["--steps", ""], ["--steps", "tf32/nosuch"], ["--steps", "tf32/cnn/nosuch"], ["--steps", "doctor/cnn"]),
        *(["--steps", "parity"], ["--precision", "tf32"], ["--steps", "largest-batch", "--batch-size", "0"]),
        ["--steps", "largest-batch", "--data", "nosuch"],
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_runs(
    planned: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str]
) -> None:
    with pytest.raises(UsageError):
        titles(monkeypatch, tmp_path, *options)


def test_clean_data_is_required_of_the_run(planned: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[bool] = []
    run_type = sprint.Run
    monkeypatch.setattr(sprint, "Run", lambda *a, **k: asked.append(k["require_clean"]) or run_type(*a, **k))
    titles(monkeypatch, tmp_path, "--require-clean")
    assert asked == [True]


def test_usage_errors_alone_end_with_their_code() -> None:
    ended = sprint._work_through([item(t, UsageError("a batch"), []) for t in "ab"], float("inf"), lambda: None)
    assert sprint._summary(ended, 9, HOME) == 2
    assert sprint._summary([*ended, (item("c", "ok", []), "ok")], 9, HOME) == 1


def test_a_week_is_the_most() -> None:
    assert sprint._SECONDS.read("604800") == 7 * 24 * 60 * 60
    with pytest.raises(UsageError, match="is not a whole number from 1 to 604,800"):
        sprint._SECONDS.read("604801")


@pytest.mark.parametrize("name", ["file", "file/x"])
def test_a_folder_that_can_not_be_written_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="--out"):
        sprint._Home(tmp_path / "results", tmp_path / name).check()
    assert (tmp_path / "file").read_text() == "mine"


def test_what_can_not_go_home_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    home = sprint._Home(tmp_path / "results", tmp_path / "file")
    assert not home.send()
    assert sprint._summary([], 9, home) == 1
    assert f"bring {tmp_path / 'results'} home itself" in capsys.readouterr().out


def test_records_of_an_earlier_sprint_are_kept(tmp_path: Path) -> None:
    """Also those of another results folder; what is no archive of ours is not overwritten."""
    out, kept = tmp_path / "out", factory.record()
    store.append(tmp_path / "old", "machine", kept)
    archive.pack(tmp_path / "old", out / sprint.RECORDS_FILE)
    home = sprint._Home(tmp_path / "new", out)
    home.take_in()
    home.take_in()
    assert home.send()
    with tarfile.open(out / sprint.RECORDS_FILE) as tar:
        assert tar.getnames() == [f"records/machine/{kept.run}.jsonl"]
    (out / sprint.RECORDS_FILE).write_text("notes")
    with pytest.raises(UsageError, match="overwritten"):
        home.take_in()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_command_ends_with_its_driver(tmp_path: Path) -> None:
    """It waits in an import, as one at work would in its framework."""
    site = tmp_path / "site"
    site.mkdir()
    pid = tmp_path / "pid"
    wait = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    (site / "platformdirs.py").write_text(wait)
    code = "import sys\nfrom pathlib import Path\nfrom bcdl import sprint\n"
    code += f"sprint._command('doctor', ['doctor'], Path({str(tmp_path / 'log')!r})).do(60)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    driver = subprocess.Popen([sys.executable, "-c", code], env=environment)
    until(lambda: pid.exists() and pid.read_text() != "")
    driver.kill()
    driver.wait()
    until(lambda: has_ended(int(pid.read_text())))


def has_ended(pid: int) -> bool:
    """Whether it computes no more: pytest may have become the parent of orphans, and leaves what has died as it is."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize("seconds", ["--steps", "9m", "5.5", "08", "0"])
def test_a_wrong_number_of_seconds_is_a_line(seconds: str, tmp_path: Path) -> None:
    script = ROOT / "bcdl" / "pack" / "run.sh"
    environment = {**os.environ, "OUT": str(tmp_path / "out")}
    done = subprocess.run(["bash", str(script), seconds], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: SECONDS")
    assert not (tmp_path / "out").exists()


def test_what_goes_wrong_costs_nothing_that_comes_after(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []
    sent: list[int] = []
    outcomes = {"a": "ok", "b": BcdlError("no room"), "c": ValueError("a fault"), "d": "out_of_memory", "e": "ok"}
    plan = [item(title, outcome, done) for title, outcome in outcomes.items()]
    ended = sprint._work_through(plan, float("inf"), lambda: sent.append(len(done)))
    assert done == list(outcomes)
    assert sent == [1, 2, 3, 4, 5]  # what was measured leaves after each
    said = [outcome for _, outcome in ended]
    assert said == ["ok", "failed: no room", "failed: ValueError: a fault", "out_of_memory", "ok"]
    assert sprint._summary(ended, 550, HOME) == 1
    printed = capsys.readouterr()
    assert "ok: 2\nfailed: no room: 1 (b)" in printed.out
    assert "ValueError: a fault" in printed.err  # with its trace, in the log that comes home


def test_nothing_is_begun_that_would_not_end_and_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    now = [0.0]
    monkeypatch.setattr(sprint.time, "monotonic", lambda: now[0])

    def do(seconds: float) -> str:
        done.append(f"{seconds:g} s")
        now[0] += 60
        return "ok"

    ended = sprint._work_through([Item(title, do) for title in "abcd"], 130.0, lambda: None)
    assert done == ["130 s", "70 s"]
    assert sprint._summary(ended, 130, HOME) == 0
    assert "left out: 2 (c; d)" in capsys.readouterr().out


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bcdl", "sprint", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "float64"], "--steps 'float64' is unknown"),
        (["--steps", "tf32/cnn/jax/gpu"], "--steps 'tf32/cnn/jax/gpu' is unknown"),
        (["--seconds", "soon"], "--seconds 'soon' is not a whole number"),
        (["--backends", "theano"], "unknown backend 'theano'"),
        (["--models", "vgg"], "'vgg'"),
    ],
)
def test_a_wrong_option_is_a_line_before_anything_runs(arguments: list[str], said: str, tmp_path: Path) -> None:
    first = ["--backends", "torch"] if "--backends" not in arguments else []
    done = run("--out", str(tmp_path / "out"), "--results", str(tmp_path / "results"), *first, *arguments)
    if "not installed" in done.stderr:
        pytest.skip("needs an installed backend")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.keras
@pytest.mark.any_backend
def test_a_cell_and_an_experiment_come_home(tmp_path: Path) -> None:
    """Also a precision that a CPU lacks; a second sprint begins where the first one ended."""
    backend, out, results = os.environ["KERAS_BACKEND"], tmp_path / "out", tmp_path / "results"
    small = ["--models", "cnn", "--image-size", "32", "--batch-size", "4", "--epochs", "1", "--data", "synthetic-48"]
    places = ["--device", "cpu", "--out", str(out), "--results", str(results), "--backends", backend]
    for resumed in (0, 2):
        done = run("--steps", "float32,tf32", "--seconds", "240", *small, *places)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"resumed: {resumed} of 2 cells" in done.stdout
        home = tmp_path / f"home-{resumed}"
        archive.unpack(out / sprint.RECORDS_FILE, home)
        records, problems = store.read_all(home)
        assert not problems
        assert [record.status for _, record in records] == ["ok", "skipped"]
    with tarfile.open(out / sprint.LOGS_FILE) as logs:
        assert any(name.endswith(".log") for name in logs.getnames())
