"""Cells of one model that measure no speed share a worker, and one that it dies of costs no other. Workers stand in."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bcdl.records import store
from bcdl.records.record import Record
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import Run
from bcdl.settings.limits import Limits
from tests.factory import job
from tests.faults import driver
from tests.faults.conftest import Injected


def measure(results: Path, plan: Path, seconds: float | None = None, day: int = 1) -> tuple[list[str], str]:
    """Run, or resume, four seeds that measure no speed; the notices before it, and what was shown of it.

    `day` is in the run's id, by which runs are in order.
    """
    jobs = [job(seed=seed, timing=False) for seed in range(4)]
    run = Run(jobs, results, f"2026010{day}T000000Z-0000", Limits(seconds), resume=True, worker=driver.worker(plan))
    notices, shown = run.check(), io.StringIO()
    progress = RunProgress(Console(file=shown, width=200), [each.cell for each in run.left], None)
    run.measure(run.left, progress)
    return notices, shown.getvalue()


def records(results: Path) -> list[Record]:
    """In the order in which they were written."""
    return [record for _, record in store.read_all(results)[0]]


def endings(results: Path) -> list[str]:
    return [record.status for record in records(results)]


def cells_before(results: Path) -> list[int]:
    """How many cells the process of each record had run before."""
    return [record.environment["process"]["cells_before"] for record in records(results)]


def processes(results: Path) -> int:
    """How many workers there were: each has a log."""
    return len(list(results.glob("local/runs/*/*.log")))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--no-timing", "--models", "cnn,mobilenet", "--seeds", "0,1"], [0, 1, 0, 1]),
        (["--no-timing", "--seeds", "0,1", "--folds", "2", "-k", "seed1 or fold1"], [0, 1, 2]),
        (["--timing", "--seeds", "0,1"], [0, 0]),
    ],
)
def test_one_worker_a_model_or_a_cell_if_speed_is_measured(
    tmp_path: Path, options: list[str], wanted: list[int]
) -> None:
    results = tmp_path / "results"
    said = driver.command(results, driver.plan(tmp_path), *options).communicate()[0]
    assert (endings(results), cells_before(results)) == (["ok"] * len(wanted), wanted), said
    assert processes(results) == wanted.count(0)
    assert all(f"[{number + 1}/{len(wanted)}] " in said for number in range(len(wanted)))
    assert said.count(": measuring (") == said.count(": ok (") == len(wanted)


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("be_killed", "crashed"),
        ("segfault", "crashed"),
        ("hang", "timed_out"),
        ("leave_half_a_result", "crashed"),
        ("failed", "failed"),
    ],
)
def test_what_a_worker_dies_of_costs_one_cell_and_the_rest_have_a_new_one(
    tmp_path: Path, ending: str, status: str, injected: Injected
) -> None:
    with injected("shared_process") as tally:
        _, shown = measure(tmp_path, driver.plan(tmp_path, at={1: ending}), seconds=4.0)
        tally.lost += 4 - len(endings(tmp_path))
        assert endings(tmp_path) == ["ok", status, "ok", "ok"]
        assert cells_before(tmp_path) == [0, 1, 0, 1]
        assert processes(tmp_path) == 2
        assert "4 done; 1 of them not ok; 0 left" in shown


def test_a_cell_for_which_memory_ran_out_runs_again_alone_before_that_is_a_finding(
    tmp_path: Path, injected: Injected
) -> None:
    """The cells before it in its process may have taken the memory."""
    with injected("shared_process") as tally:
        _, shown = measure(tmp_path, driver.plan(tmp_path, at={1: "abort_for_memory"}), seconds=4.0)
        tally.lost += 4 - len(endings(tmp_path))
        assert endings(tmp_path) == ["ok", "out_of_memory", "ok", "ok"]
        assert cells_before(tmp_path) == [0, 0, 0, 1]
        assert processes(tmp_path) == 3
        assert "it runs again, alone in a new one" in shown
        assert "4 done; 1 of them not ok; 0 left" in shown


def test_a_worker_killed_from_outside_costs_the_cell_that_it_was_at(tmp_path: Path, injected: Injected) -> None:
    results, plan = tmp_path / "results", driver.plan(tmp_path, at={1: "hang"})
    with injected("shared_process") as tally:
        process = driver.command(results, plan, "--no-timing")
        while "[2/4] cnn on torch, seed 1, accuracy alone: measuring" not in (line := process.stdout.readline()):
            assert line, "it ended before its second cell"
        (worker,) = (each for each in driver.left_running(results) if "tests.faults.good_worker" in each.cmdline())
        worker.kill()
        said = process.communicate()[0]
        tally.lost += 4 - len(endings(results))
        assert endings(results) == ["ok", "crashed", "ok", "ok"], said
        assert "ended by SIGKILL" in records(results)[1].reason
        assert not driver.left_running(results)


def test_the_limit_of_time_is_of_each_cell(tmp_path: Path) -> None:
    """Not of the process, which takes longer."""
    measure(tmp_path, driver.plan(tmp_path, seconds=1.0), seconds=3.5)
    assert (endings(tmp_path), processes(tmp_path)) == (["ok"] * 4, 1)
