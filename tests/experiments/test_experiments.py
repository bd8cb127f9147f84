"""Experiments: kept, read back, shown; and the one on callbacks, on the framework of this process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import BcdlError, UsageError
from bcdl.experiments import batch_size, cpu_cores, engine, keras_settings, largest_batch
from bcdl.experiments.workers import loop
from bcdl.records import experiment
from bcdl.records.experiment import Experiment
from bcdl.records.record import Record
from bcdl.report import page as report
from bcdl.runner import launch
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits
from tests.factory import job, jobs, record

ROOT = Path(__file__).resolve().parents[2]
BACKEND = os.environ.get("KERAS_BACKEND", "")
ONE = Experiment(
    "20261124T142328Z-af84",
    "A name",
    "cnn on torch",
    ("plain", "other"),
    [10.0, 11.0, 10.5],
    [5.0, 5.5, 5.2],
    {"commit": "0123456789abcdef", "dirty": False, "versions": {"keras": "3.15.1"}},
)
OLDER = "20261123T142328Z-af84"


def test_an_experiment_reads_back_as_it_was_written(tmp_path: Path) -> None:
    experiment.append(tmp_path, "m", ONE)
    assert experiment.read_all(tmp_path) == [("m", ONE)]


def test_a_torn_experiment_is_named(tmp_path: Path) -> None:
    file = experiment.append(tmp_path, "m", ONE)
    file.write_text(file.read_text()[:-30])
    with pytest.raises(UsageError, match=r"af84\.jsonl, line 1"):
        experiment.read_all(tmp_path)


def test_the_newest_stands_on_the_page_with_its_ratio(tmp_path: Path) -> None:
    for ways in (ONE.ways, ("plain", "gone since")):
        experiment.append(tmp_path, "m", dataclasses.replace(ONE, run=OLDER, ways=ways, b=[1.0, 1.0, 1.0]))
    experiment.append(tmp_path, "m", ONE)
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "## Experiments" in page
    assert "- keras 3.15.1 (2026-11-24)" in page
    figures = "10.5 | 5.2 | 0.498 |  | 0.25 | 3"  # three rounds give no interval
    assert f"| cnn on torch | plain | other | {figures} | window | 2026-11-24 | 0123456789 |" in page
    assert "gone since" not in page
    (table,) = tmp_path.glob("tables/*.csv")
    assert table.read_text().splitlines()[1].endswith("0.25,3,window,2026-11-24,0123456789")


def test_times_are_also_shown_by_their_difference(tmp_path: Path) -> None:
    one = dataclasses.replace(ONE, unit="s", a=[1.0, 2.0, 3.0], b=[1.5, 2.5, 3.6], sample="process")
    (row,) = experiment.table("A name", [one]).rows
    assert row[6:9] == ("", "+0.53 (+0.39 to +0.68)", "0.25")
    assert row[10] == "process"


def test_what_the_first_schema_did_not_say_of_its_sample_is_known_by_its_environment(tmp_path: Path) -> None:
    for environment in ({"platform": "cpu"}, {}):
        file = experiment.append(tmp_path, "m", dataclasses.replace(ONE, environment=environment))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    first = [{key: value for key, value in line.items() if key not in ("sample", "cell")} for line in lines]
    file.write_text("".join(json.dumps({**line, "schema": 1}) + "\n" for line in first))
    assert [one.sample for _, one in experiment.read_all(tmp_path)] == ["window", "process"]


@pytest.mark.keras
def test_an_experiment_refuses_two_seeds(tmp_path: Path) -> None:
    done = run("noop", tmp_path, "--seeds", "0,1")
    assert done.returncode == 2
    assert "an experiment takes one seed and one split, and was given 2 cells; give --seeds 0" in done.stderr


def test_an_experiment_from_a_changed_tree_says_so(tmp_path: Path) -> None:
    experiment.append(tmp_path, "m", dataclasses.replace(ONE, environment={"commit": "0" * 40, "dirty": True}))
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "| 0000000000* |" in page
    assert "versions unknown" in page


def test_the_best_setting_stands_beside_the_default(tmp_path: Path) -> None:
    tried = {"batch 1": [5.0, 5.1, 5.2], "batch 8": [20.0, 21.0, 22.0], "batch 16": [12.0, 13.0, 12.5]}
    for way, rates in tried.items():
        one = dataclasses.replace(ONE, name="Batch size", ways=("batch 4", way), b=rates, searches=True)
        experiment.append(tmp_path, "m", one)
    experiment.append(tmp_path, "m", dataclasses.replace(ONE, name="Settings", searches=True))
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert re.findall(r"\| batch 4 \| (batch \d+) \| 10", page) == ["batch 1", "batch 8", "batch 16"]
    # Student's t of 2 degrees of freedom leaves out 0.05 / 3 beyond 7.65: of log ratios 0.693, 0.647 and 0.740.
    assert "| cnn on torch | Batch size | batch 4 | batch 8 | 2.000 | 1.629 to 2.456 | 3 | 3 | window |" in page
    assert "| cnn on torch | Settings | plain | the default | 1 |  | 1 | 3 | window |" in page


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="only Linux holds a process to some cores")
def test_workers_are_held_to_the_cores_of_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = psutil.Process().cpu_affinity()

    def rate_by_cores(*arguments: object, **named: object) -> Record:
        made = record()
        made.metrics["step_images_per_s"] = 100.0 * len(psutil.Process().cpu_affinity())
        return made

    monkeypatch.setattr(launch, "run", rate_by_cores)
    ways = cpu_cores._ways(job())
    assert next(iter(ways)) == cpu_cores._name(len(cores))
    assert ways["1 core"]() == {"1 core": 100.0}
    assert psutil.Process().cpu_affinity() == cores


def test_a_worker_that_fails_ends_the_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "run", lambda *arguments, **named: record(status="error"))
    with pytest.raises(BcdlError, match="cnn on torch, seed 0, 1 core: error: it was made to fail"):
        cpu_cores._ways(job())["1 core"]()


def run(name: str, results: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.experiment_{name}", "--backend", BACKEND, "--models", "cnn"]
    settings = ["--profile", "smoke", "--image-size", "32", "--rounds", "2", "--results", str(results)]
    return subprocess.run([*command, *settings, *more], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("callback", "told by callback"),
        ("overhead", "under the harness"),
        ("settings", r"jit_compile=(True|False)"),
        ("cache", "warm"),
        ("noop", "a cell that measures nothing"),
    ],
)
def test_an_experiment_runs(tmp_path: Path, name: str, way: str) -> None:
    pytest.importorskip("keras")
    done = run(name, tmp_path)
    assert "not ok" not in done.stdout
    if "so there is no cache to measure" in done.stderr:
        pytest.skip("this backend keeps no compiled functions")
    assert done.returncode == 0, done.stderr
    found = [one for _, one in experiment.read_all(tmp_path)]
    assert any(re.fullmatch(way, one.ways[1]) for one in found)
    assert all(len(one.a) == len(one.b) == 2 and min(*one.a, *one.b) > 0 for one in found)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_test_cell_is_a_worker_like_any_other(share: float) -> None:
    """That a step is slowed down by its share, test_sensitivity.py shows by a clock of its own."""
    assert engine.step_rate(job(), loop.command(share), "a loop") > 0


def test_a_framework_that_runs_ahead_takes_no_more_steps_than_fit() -> None:
    class RunsAhead:
        taken = waiting = 0

        def step(self) -> None:
            self.taken += 1
            self.waiting += 1

        def sync(self, last: object) -> None:
            time.sleep(0.02 * self.waiting)
            self.waiting = 0

    one = RunsAhead()
    prepared = engine.Prepared(job(), one, None, None, None, None)
    assert 0 < prepared.rate(one.step, 0.1, batch_size=4) <= 4 / 0.02
    assert one.taken <= 3 + 5


@given(st.integers(1, 40), st.integers(1, 10**6))
def test_the_largest_batch_is_found_in_a_bounded_number_of_tries(start: int, room: int) -> None:
    tries = []

    def fits(size: int) -> bool:
        tries.append(size)
        return size <= room

    if room < start:
        with pytest.raises(BcdlError, match="not even batch"):
            largest_batch.largest(start, fits)
        return
    found = largest_batch.largest(start, fits)
    assert len(tries) <= largest_batch.MOST_TRIES
    assert start <= found <= room
    smallest_refused = min((size for size in tries if size > room), default=None)
    if len(tries) < largest_batch.MOST_TRIES:
        assert smallest_refused is not None
        assert smallest_refused - found <= max(1, found / 8)


@pytest.mark.keras
def test_a_batch_that_needs_more_than_its_limit_does_not_fit(capfd: pytest.CaptureFixture[str]) -> None:
    """Steps of each size in a worker of the real framework, which its limit ends."""
    (job,) = jobs(BACKEND, "cnn", image_size="96", batch_size="2")
    limits = Limits(seconds=300, memory_bytes=2 * 2**30)
    assert largest_batch._fits(job, 2, limits)
    assert not largest_batch._fits(job, 4096, limits)
    assert "batch 4096, tried with 4301 images: out of memory" in capfd.readouterr().out


def test_a_batch_that_needs_more_than_its_time_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "run", lambda *arguments, **named: record(status="timed_out"))
    assert not largest_batch._fits(job(), 4, Limits(seconds=1))


def test_a_try_leaves_memory_and_images_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def note(tried: Job, *arguments: object, limits: Limits, **named: object) -> Record:
        asked.append((tried.cell.batch_size, limits.memory_bytes))
        return record()

    monkeypatch.setattr(launch, "run", note)
    assert all(largest_batch._fits(job(), size, Limits(60, 1000)) for size in (4, 100))
    assert asked == [(5, 950), (105, 950)]


def test_windows_of_a_large_batch_hold_no_more_images_than_the_cells_own() -> None:
    own = dataclasses.replace(job(), cell=dataclasses.replace(job().cell, batch_size=4, window_steps=10))
    sizes = {size: largest_batch._of(own, size).cell.window_steps for size in (4, 8, 40, 4096)}
    assert sizes == {4: 10, 8: 5, 40: 1, 4096: 1}


@pytest.mark.keras
def test_a_long_epoch_trains_the_steps_that_it_is_credited_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several steps an execution included, which Keras rounds up: 3 steps asked for at 2 each would be 4."""
    pytest.importorskip("keras")
    monkeypatch.setattr(engine, "_LEAST_EPOCH_S", 0.2)
    prepared = engine.prepare(jobs(BACKEND, "cnn", image_size="32")[0]).with_long_epochs()
    together = [prepared]
    with contextlib.suppress(ValueError):  # torch refuses
        together.append(keras_settings._recompiled(prepared, {"steps_per_execution": engine.STEPS_TOGETHER}))
    for one in together:
        before = int(one.model.optimizer.iterations)
        one.epoch_s([])
        assert (int(one.model.optimizer.iterations) - before) * one.cell.batch_size == one.images


@pytest.mark.keras
def test_batches_grow_until_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keras")
    (job,) = jobs(BACKEND, "cnn", image_size="32")
    prepared = engine.prepare(job)
    put = prepared.adapter.put

    def with_room_for_four(images: np.ndarray, labels: np.ndarray) -> Any:
        if len(images) > 4:
            raise MemoryError("as a framework would")
        return put(images, labels)

    monkeypatch.setattr(prepared.adapter, "put", with_room_for_four)
    monkeypatch.setattr(prepared.adapter, "is_out_of_memory", lambda error: isinstance(error, MemoryError))
    monkeypatch.setattr(batch_size, "_WINDOW_S", 0.05)
    ways = batch_size._ways(prepared)
    assert list(ways) == ["batch 4", "batch 1", "batch 2"]
    assert all(way()[name] > 0 for name, way in ways.items())
