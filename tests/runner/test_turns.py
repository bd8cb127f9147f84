"""Sides measured in turn: rounds of all sides, a side that fails, and a comparison that is taken up again."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bcdl import ab, backends
from bcdl.errors import BcdlError, UsageError
from bcdl.machine import hardware, provenance
from bcdl.records import runs, store
from bcdl.records.record import Record
from bcdl.report.sections import sides_in_turn
from bcdl.runner import interpreter, supervisor
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import Run
from bcdl.runner.turns import Side, Turns, check
from bcdl.statistics.comparison import Pair
from tests.factory import as_of_older, job, record, with_rates
from tests.faults import driver

BACKENDS = {"a": "torch", "b": "jax", "c": "tensorflow"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in takes no longer than this to be looked at."""
    monkeypatch.setattr(supervisor, "_POLL_S", 0.02)


def plan_of(folder: Path, side: str, rate: float = 1000.0, **more: Any) -> Path:
    """A plan for the stand-ins of one side, of equal rates: so high that their samples fit into its time."""
    own = folder / f"plan-{side}"
    own.mkdir(parents=True, exist_ok=True)
    file = driver.plan(own, **more)
    values = json.loads(file.read_text(encoding="utf-8"))
    rated = as_of_older(with_rates(record(), fit=rate, step=rate, predict=rate))
    values["record"] |= {"metrics": rated["metrics"], "samples": rated["samples"]}
    values["record"]["environment"]["code"] = provenance.digest(BACKENDS[side])
    file.write_text(json.dumps(values), encoding="utf-8")
    return file


def sides(results: Path, names: Sequence[str] = "ab", models: Sequence[str] = ("cnn",), **of_sides: Any) -> list[Side]:
    """Sides of stand-ins, checked; what is given by a side's name is for its plan."""
    run_id = runs.new_run_id()
    made = []
    for name in names:
        jobs = [job(backend=BACKENDS[name], model=model) for model in models]
        worker = driver.worker(plan_of(results.parent, name, **of_sides.get(name, {})))
        run = Run(jobs, results, f"{run_id}-{name}", worker=worker)
        made.append(Side(name, run))
    check(made)
    return made


def measure(turns: Turns) -> None:
    cells = [job.cell for job in turns.left]
    turns.measure(RunProgress(Console(file=io.StringIO()), cells, None))


def turns_of(results: Path, rounds: int, **options: Any) -> Turns:
    of_sides = sides(results, **options)
    return Turns(of_sides, rounds, of_sides[0].run.id.rpartition("-")[0])


def records(results: Path) -> list[Record]:
    return [record for _, record in store.read_all(results)[0]]


def rounds_of(results: Path) -> Counter[str]:
    """How many records each round has."""
    return Counter(record.block for record in records(results))


def test_each_round_has_a_process_of_every_side(tmp_path: Path) -> None:
    turns = turns_of(tmp_path / "results", rounds=3, names="abc", models=("cnn", "mobilenet"))
    assert len(turns.left) == 18
    measure(turns)
    assert rounds_of(tmp_path / "results") == {f"{turns.run_id}/{number}": 6 for number in range(3)}
    orders = {
        tuple(record.side for record in records(tmp_path / "results") if (record.block, record.cell.model) == key)
        for key in {(record.block, record.cell.model) for record in records(tmp_path / "results")}
    }
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert turns.failures() == []


@pytest.mark.parametrize(("status", "tries"), [("crashed", 2), ("failed", 2), ("out_of_memory", 1), ("skipped", 1)])
def test_a_side_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path, status: str, tries: int) -> None:
    turns = turns_of(tmp_path / "results", rounds=4, names="abc", b={"at": {0: status}})
    measure(turns)
    assert Counter(record.side for record in records(tmp_path / "results")) == {"a": 4, "b": tries, "c": 4}
    (line,) = turns.failures()
    assert line.startswith("side b was left out of further rounds: cnn on jax, seed 0: " + status)


def test_a_cell_with_one_side_left_is_not_measured_on(tmp_path: Path) -> None:
    turns = turns_of(tmp_path / "results", rounds=5, b={"at": {0: "out_of_memory"}})
    measure(turns)
    assert len(records(tmp_path / "results")) == 2
    assert turns.left == []


def interrupted(turns: Turns, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure until so many records are kept, then Ctrl-C."""
    keep, kept = Run.keep, Counter[str]()

    def keep_and_stop(run: Run, job: Any, outcome: Record) -> None:
        keep(run, job, outcome)
        kept["all"] += 1
        if kept["all"] == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "keep", keep_and_stop)
        with pytest.raises(KeyboardInterrupt):
            measure(turns)


@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_a_comparison_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A round that some sides lack is no whole one: all of it is measured anew, since its sides met another moment."""
    results = tmp_path / "results"
    first = turns_of(results, rounds=4)
    interrupted(first, after, monkeypatch)
    again = turns_of(results, rounds=4)
    said = again.take_up(results, hardware.machine_name("cpu"))
    assert said == f"resumed: {after // 2} of 4 rounds of {first.run_id} are whole already"
    measure(again)
    whole = [block for block, count in rounds_of(results).items() if count == 2]
    assert len(whole) == 4
    assert len(records(results)) == 8 + after % 2
    assert {block.partition("/")[0] for block in rounds_of(results)} == {first.run_id}
    assert turns_of(results, rounds=4).take_up(results, hardware.machine_name("cpu")).startswith("resumed: 4 of 4")


def test_a_side_that_crashed_gets_another_chance_and_one_without_memory_none(tmp_path: Path) -> None:
    results = tmp_path / "results"
    measure(turns_of(results, rounds=2, names="abc", b={"at": {0: "crashed"}}, c={"at": {0: "out_of_memory"}}))
    again = turns_of(results, rounds=2, names="abc")
    again.take_up(results, hardware.machine_name("cpu"))
    assert [cell.sides for cell in again.cells] == [["a", "b"]]
    measure(again)
    assert Counter(record.side for record in records(results) if record.ok) == {"a": 4, "b": 2}


def moved(results: Path) -> Turns:
    """The comparison as another machine would have left it."""
    machine = hardware.machine_name("cpu")
    (results / "records" / machine).rename(results / "records" / "another-machine")
    return turns_of(results, rounds=2)


def of_other_versions(results: Path) -> Turns:
    of_sides = sides(results)
    of_sides[1].run.interpreter = Interpreter(facts={"versions": {"keras": "3.14.0"}})
    return Turns(of_sides, 2, "20260101T000000Z-0000")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (moved, "was measured on another machine, another-machine"),
        (of_other_versions, "differs from what is asked now in versions"),
    ],
)
def test_another_machine_or_other_versions_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Callable[[Path], Turns], reason: str
) -> None:
    results = tmp_path / "results"
    interrupted(turns_of(results, rounds=2), 2, monkeypatch)
    with pytest.raises(UsageError, match=reason) as refused:
        other(results).take_up(results, hardware.machine_name("cpu"))
    assert "leave --resume out" in str(refused.value)


def test_a_machine_that_changes_between_two_processes_ends_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = turns_of(tmp_path / "results", rounds=2)
    identities = iter([turns._identity()] * 2 + ["00000000"])
    monkeypatch.setattr(turns, "_identity", lambda: next(identities))
    with pytest.raises(BcdlError, match="this machine is another now"):
        measure(turns)
    assert len(records(tmp_path / "results")) == 2


def run_command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, rates: dict[str, float], *more: str, backend: str = "torch"
) -> int:
    """`bcdl ab` of stand-ins with these rates, all of one backend unless told otherwise; its exit code."""

    def run(jobs: Any, results: Path, run_id: str, *limits: Any, **flags: Any) -> Run:
        worker = driver.worker(plan_of(folder, run_id[-1], rates[run_id[-1]]))
        return Run(jobs, results, run_id, *limits, **flags, worker=worker)

    monkeypatch.setattr(ab, "Run", run)
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    cell = ["--models", "cnn", "--profile", "smoke", "--data", "synthetic-48", "--image-size", "32", "--device", "cpu"]
    chosen = [word for name in rates for word in (f"--{name}", backend if name == "b" else "torch")]
    monkeypatch.setattr(sys, "argv", ["bcdl ab", *chosen, *cell, "--results", str(folder / "results"), *more])
    return ab.main()


def test_a_side_of_the_same_backend_that_is_slower_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, tmp_path, {"a": 1000.0, "b": 800.0}, "--rounds", "8") == 1
    assert "side b is slower by more than 3.0%, beyond chance: CNN" in capsys.readouterr().out


@pytest.mark.parametrize(("rate", "backend"), [(1200.0, "torch"), (990.0, "torch"), (800.0, "jax")])
def test_one_that_is_no_slower_or_of_another_backend_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, backend: str
) -> None:
    assert run_command(monkeypatch, tmp_path, {"a": 1000.0, "b": rate}, "--rounds", "8", backend=backend) == 0


def test_sides_that_can_not_be_compared_fail_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or a gate would pass what nobody has looked at."""
    unlike = Pair("a", "b", (), "A and B differ in python and code")
    monkeypatch.setattr(sides_in_turn, "pairs", lambda run: [unlike])
    with pytest.raises(BcdlError, match="1 pairs of sides can't be compared"):
        run_command(monkeypatch, tmp_path, {"a": 1000.0, "b": 1000.0}, "--rounds", "1")
    assert "not compared: A and B differ in python and code" in capsys.readouterr().out


def test_three_sides_are_compared_in_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, tmp_path, {"a": 1000.0, "b": 1000.0, "c": 500.0}, "--rounds", "10") == 1
    printed = capsys.readouterr().out
    for pair in ("Images/s of A and B", "Images/s of A and C", "Images/s of B and C"):
        assert pair in printed
    assert printed.count("side c is slower") == 3  # of the three regimes, from the first side alone


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--a", "torch", "--b", "abacus"], "unknown backend 'abacus'"),
        (["--a", "torch", "--b", "torch=/no/such/python"], "there is no Python at '/no/such/python'"),
        (["--a", "torch", "--b", "torch=/bin/true"], "can't run bcdl"),
    ],
)
def test_a_side_that_can_not_run_is_refused_before_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], reason: str
) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    monkeypatch.setattr(sys, "argv", ["bcdl ab", *options, "--models", "cnn", "--results", str(tmp_path)])
    with pytest.raises(UsageError, match=reason):
        ab.main()
    assert store.read_all(tmp_path) == ([], [])


def test_another_python_says_what_it_has(tmp_path: Path) -> None:
    """A link is another path to the same Python, and so is asked as any other would be."""
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    with pytest.raises(UsageError, match="lacks jax or Keras"):
        interpreter.find("--b", str(link), "jax")
    assert interpreter.find("--b", sys.executable, "jax") == Interpreter()


def test_the_python_of_an_environment_is_found_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    python = interpreter.of_environment(tmp_path / "env")
    with pytest.raises(UsageError, match=r"--b: there is no Python at '.*env'"):
        interpreter.find("--b", "~/env", "jax")
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    for name in ("~/env", str(tmp_path / "env"), str(python)):
        with pytest.raises(UsageError, match="lacks jax or Keras"):
            interpreter.find("--b", name, "jax")


def test_only_the_first_side_can_be_regressed_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command(monkeypatch, tmp_path, {"a": 500.0, "b": 1000.0, "c": 600.0}, "--rounds", "8") == 0


def test_sides_keep_their_records_in_files_of_their_own(tmp_path: Path) -> None:
    turns = turns_of(tmp_path / "results", rounds=2)
    measure(turns)
    for side in turns.sides.values():
        lines = side.run.file.read_text(encoding="utf-8").splitlines()
        assert {(json.loads(line)["side"], json.loads(line)["run"]) for line in lines} == {(side.name, side.run.id)}


def test_what_is_read_is_handed_over_once_for_all_sides(tmp_path: Path) -> None:
    of_sides = sides(tmp_path / "results", "abc")
    (pool,) = {side.run.handed(side.run.jobs[0]).pool for side in of_sides}
    assert pool is not None
    assert Path(pool).is_dir()
    assert len(list((tmp_path / "results").glob("local/runs/*/data"))) == 1
