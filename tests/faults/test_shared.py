"""Cells of one model that measure no speed share a worker, and one that it dies of costs no other. Workers stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bcdl.records import store
from bcdl.records.record import Record
from tests.faults import driver
from tests.faults.conftest import Injected


def run(results: Path, plan: Path, *options: str) -> str:
    """What the command said that ran four seeds and measured no speed."""
    return driver.command(results, plan, "--no-timing", *options).communicate()[0]


def records(results: Path) -> list[Record]:
    return [record for _, record in store.read_all(results)[0]]


def endings(results: Path) -> list[str]:
    """The status of each record, in the order in which they were written."""
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
        (["--no-timing"], [0, 1, 2, 3]),
        (["--no-timing", "--models", "cnn,mobilenet", "--seeds", "0,1"], [0, 1, 0, 1]),
        (["--no-timing", "--seeds", "0", "--folds", "2", "--split-by", "group,image"], [0, 1, 2, 3]),
        (["--no-timing", "-k", "seed1 or seed2"], [0, 1]),
        ([], [0, 0, 0, 0]),
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
        ("abort_for_memory", "out_of_memory"),
        ("leave_half_a_result", "crashed"),
        ("failed", "failed"),
    ],
)
def test_what_a_worker_dies_of_costs_one_cell_and_the_rest_have_a_new_one(
    tmp_path: Path, ending: str, status: str, injected: Injected
) -> None:
    results, plan = tmp_path / "results", driver.plan(tmp_path, at={1: ending})
    with injected("shared_process") as tally:
        said = run(results, plan, "--cell-timeout", "4s")
        tally.lost += 4 - len(endings(results))
        assert endings(results) == ["ok", status, "ok", "ok"], said
        assert cells_before(results) == [0, 1, 0, 1]
        assert processes(results) == 2
        assert "4 done; 1 of them not ok; 0 left" in said
        assert not driver.left_running(results)


def test_a_worker_killed_from_outside_costs_the_cell_that_it_was_at(tmp_path: Path, injected: Injected) -> None:
    results, plan = tmp_path / "results", driver.plan(tmp_path, seconds=0.5)
    with injected("shared_process"):
        process = driver.command(results, plan, "--no-timing")
        while "[2/4] cnn on torch, seed 1: measuring" not in process.stdout.readline():
            assert process.poll() is None
        (worker,) = (each for each in driver.left_running(results) if "tests.faults.good_worker" in each.cmdline())
        worker.kill()
        said = process.communicate()[0]
        assert endings(results) == ["ok", "crashed", "ok", "ok"], said
        assert "ended by SIGKILL" in records(results)[1].reason


def test_the_limit_of_time_is_of_each_cell(tmp_path: Path) -> None:
    """Not of the process, which takes longer."""
    results, plan = tmp_path / "results", driver.plan(tmp_path, seconds=1.0)
    said = run(results, plan, "--cell-timeout", "3s")
    assert (endings(results), processes(results)) == (["ok"] * 4, 1), said


def test_a_cell_that_ran_out_of_memory_after_others_is_run_again_first_in_a_process(tmp_path: Path) -> None:
    """Once it has run out of memory there, too, it is left out like any other."""
    results, plan = tmp_path / "results", driver.plan(tmp_path, at={1: "abort_for_memory"})
    said = run(results, plan)
    assert "it was cell 2 of its process, so --resume runs it again, first in a new one" in said
    assert "resumed: 3 of 4 cells have their record already" in run(results, plan, "--resume")
    assert (endings(results)[4:], cells_before(results)[4:]) == (["out_of_memory"], [0])
    assert "resumed: 4 of 4 cells have their record already" in run(results, plan, "--resume")
