"""Experiments: kept, read back, shown; and the one on callbacks, on the framework of this process."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
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

from bcdl import backends, experiments
from bcdl import experiment as command
from bcdl.errors import BcdlError, UsageError
from bcdl.experiments import cpu_cores, largest_batch, memory_allocator
from bcdl.experiments.engine import rates
from bcdl.experiments.engine.cores import in_words
from bcdl.experiments.engine.definition import WithoutCell
from bcdl.experiments.workers import loop, steps
from bcdl.experiments.workers.slowed import Slowed
from bcdl.records import experiment
from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits
from bcdl.worker.session import start_backend
from tests.factory import EXPERIMENT as ONE
from tests.factory import job, jobs, record

ROOT = Path(__file__).resolve().parents[2]
BACKEND = os.environ.get("KERAS_BACKEND", "")
NO_OPTIONS = argparse.Namespace()


def test_an_experiment_reads_back_as_it_was_written(tmp_path: Path) -> None:
    experiment.append(tmp_path, "m", ONE)
    assert experiment.read_all(tmp_path) == ([("m", ONE)], [])


def test_a_torn_experiment_is_named(tmp_path: Path) -> None:
    file = experiment.append(tmp_path, "m", ONE)
    file.write_text(file.read_text()[:-30])
    read, (problem,) = experiment.read_all(tmp_path)
    assert read == []
    assert str(problem).startswith(f"experiments/m/{ONE.run}.jsonl, line 1: a torn last line")


def test_what_the_first_schema_did_not_say_of_its_sample_is_known_by_its_environment(tmp_path: Path) -> None:
    for subject, environment in (("in one process", {"platform": "cpu"}), ("in several", {})):
        file = experiment.append(tmp_path, "m", dataclasses.replace(ONE, subject=subject, environment=environment))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    first = [{key: value for key, value in line.items() if key not in ("sample", "cell")} for line in lines]
    file.write_text("".join(json.dumps({**line, "schema": 1}) + "\n" for line in first))
    assert [kept.sample for _, kept in experiment.read_all(tmp_path)[0]] == ["window", "process"]


@pytest.mark.any_backend
@pytest.mark.keras
def test_an_experiment_refuses_two_seeds(tmp_path: Path) -> None:
    done = run("empty-cell", tmp_path, "--seeds", "0,1")
    assert done.returncode == 2
    assert "an experiment takes one seed and one split, and was given 2 cells; give --seeds 0" in done.stderr


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="only Linux holds a process to some cores")
def test_workers_are_held_to_the_cores_of_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = psutil.Process().cpu_affinity()

    def rate_by_cores(*arguments: object, **named: object) -> Record:
        made = record()
        made.metrics["step_images_per_s"] = 100.0 * len(psutil.Process().cpu_affinity())
        return made

    monkeypatch.setattr(launch, "run", rate_by_cores)
    ways = cpu_cores.ways(job(), NO_OPTIONS)
    assert next(iter(ways)) == in_words(len(cores))
    assert ways["1 core"]() == {"1 core": 100.0}
    assert psutil.Process().cpu_affinity() == cores


def test_a_worker_has_the_variables_of_its_way_and_nobody_else_has(monkeypatch: pytest.MonkeyPatch) -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    seen = []

    def run(*_: object, **__: object) -> Record:
        seen.append({name: os.environ.get(name) for name in memory_allocator.KEPT})
        return record()

    for name in memory_allocator.KEPT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launch, "run", run)
    for name, way in memory_allocator.ways(job(), NO_OPTIONS).items():
        assert list(way()) == [name]
    assert seen == [dict.fromkeys(memory_allocator.KEPT), memory_allocator.KEPT]
    assert not set(memory_allocator.KEPT) & os.environ.keys()


@pytest.mark.parametrize(
    ("library", "variables", "message"),
    [
        (("", ""), {}, "this system's C library is not glibc"),
        (("glibc", "2.36"), {"MALLOC_TOP_PAD_": "1"}, "MALLOC_TOP_PAD_ is set already"),
    ],
)
def test_the_experiment_on_memory_is_refused_if_it_could_show_nothing(
    library: tuple[str, str], variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in memory_allocator.KEPT:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    with pytest.raises(UsageError, match=re.escape(message)):
        memory_allocator.ways(job(), NO_OPTIONS)


def test_a_worker_that_fails_ends_the_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "run", lambda *arguments, **named: record(status="error"))
    with pytest.raises(BcdlError, match="cnn on torch, seed 0, 1 core: error: it was made to fail"):
        cpu_cores.ways(job(), NO_OPTIONS)["1 core"]()


def arguments(name: str, results: Path) -> list[str]:
    """Of `bcdl`: the experiment on a small cell of this backend, in two rounds."""
    settings = ["--profile", "smoke", "--image-size", "32", "--rounds", "2", "--results", str(results)]
    return ["experiment", name, "--backend", BACKEND, "--models", "cnn", *settings]


def run(name: str, results: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return bcdl("bcdl", *arguments(name, results), *more)


def assert_kept(results: Path, way: str) -> None:
    """Assert that what was measured was kept, and was compared with a way of this name."""
    made = [kept for _, kept in experiment.read_all(results)[0]]
    assert any(re.fullmatch(way, kept.ways[1]) for kept in made)
    assert all(len(kept.a) == len(kept.b) == 2 and min(*kept.a, *kept.b) > 0 for kept in made)


@pytest.mark.keras
def test_the_experiment_on_the_compilation_cache_runs(tmp_path: Path) -> None:
    """In a process of its own, which forgets what it has compiled."""
    pytest.importorskip("keras")
    done = run("compilation-cache", tmp_path)
    if "so there is no cache to measure" in done.stderr:
        pytest.skip("this backend keeps no compiled functions")
    assert done.returncode == 0, done.stderr
    assert_kept(tmp_path, "warm")


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("batch-callback", "told by callback"),
        ("epoch-overhead", "under the harness"),
        ("keras-settings", r"jit_compile=(True|False)"),
    ],
)
def test_an_experiment_of_epochs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> None:
    """In this process, on epochs that are not as long as such a figure needs.

    The experiment on empty cells runs from the wheel: see the tests of packaging.
    """
    pytest.importorskip("keras")
    start_backend(BACKEND, "cpu", "float32")
    monkeypatch.setattr("bcdl.experiments.engine.training_cell._LEAST_EPOCH_S", 0.2)
    monkeypatch.setattr(sys, "argv", arguments(name, tmp_path))
    assert command.main() == 0
    assert_kept(tmp_path, way)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_test_cell_is_a_worker_like_any_other(share: float) -> None:
    """That a step is slowed down by its share, test_sensitivity.py shows by a clock of its own."""
    assert rates.rate_in_worker(job(), loop.command(share), "a loop") > 0


def test_a_framework_that_runs_ahead_takes_no_more_steps_than_fit() -> None:
    class RunsAhead:
        taken = waiting = 0

        def step(self) -> None:
            self.taken += 1
            self.waiting += 1

        def sync(self, last: object) -> None:
            time.sleep(0.02 * self.waiting)
            self.waiting = 0

    device = RunsAhead()
    assert 0 < rates.rate(device.step, device.sync, 0.1, batch_size=4) <= 4 / 0.02
    assert device.taken <= 3 + 5


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
    size = largest_batch.largest(start, fits)
    assert len(tries) <= largest_batch.MOST_TRIES
    assert start <= size <= room
    smallest_refused = min((size for size in tries if size > room), default=None)
    if len(tries) < largest_batch.MOST_TRIES:
        assert smallest_refused is not None
        assert smallest_refused - size <= max(1, size / 8)


@pytest.mark.any_backend
@pytest.mark.keras
def test_a_batch_that_needs_more_than_its_limit_does_not_fit(capfd: pytest.CaptureFixture[str]) -> None:
    """Steps of each size in a worker of the real framework, which its limit ends."""
    (job,) = jobs(BACKEND, "cnn", image_size="96", batch_size="2")
    limits = Limits(seconds=300, memory_bytes=2 * 2**30)
    assert largest_batch.fits(job, 2, limits)
    assert not largest_batch.fits(job, 4096, limits)
    assert "batch 4096, tried with 4301 images: out of memory" in capfd.readouterr().out


def test_a_batch_that_needs_more_than_its_time_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "run", lambda *arguments, **named: record(status="timed_out"))
    assert not largest_batch.fits(job(), 4, Limits(seconds=1))


def test_a_try_leaves_memory_and_images_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def note(tried: Job, *arguments: object, limits: Limits, **named: object) -> Record:
        asked.append((tried.cell.batch_size, limits.memory_bytes))
        return record()

    monkeypatch.setattr(launch, "run", note)
    assert all(largest_batch.fits(job(), size, Limits(60, 1000)) for size in (4, 100))
    assert asked == [(5, 950), (105, 950)]


def test_windows_of_a_large_batch_hold_no_more_images_than_the_cells_own() -> None:
    own = dataclasses.replace(job(), cell=dataclasses.replace(job().cell, batch_size=4, window_steps=10))
    sizes = {size: largest_batch.with_batch(own, size).cell.window_steps for size in (4, 8, 40, 4096)}
    assert sizes == {4: 10, 8: 5, 40: 1, 4096: 1}


@pytest.mark.keras
def test_a_long_epoch_trains_the_steps_that_it_is_credited_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several steps an execution included, which Keras rounds up: 3 steps asked for at 2 each would be 4."""
    pytest.importorskip("keras")
    (job,) = jobs(BACKEND, "cnn", image_size="32")
    adapter = start_backend(BACKEND, "cpu", "float32")
    from bcdl.experiments import keras_settings
    from bcdl.experiments.engine import training_cell

    monkeypatch.setattr(training_cell, "_LEAST_EPOCH_S", 0.2)
    plain = training_cell.TrainingCell.of(job, adapter).with_long_epochs()
    cells = [plain]
    with contextlib.suppress(ValueError):  # torch refuses
        cells.append(keras_settings.recompiled(plain, {"steps_per_execution": training_cell.STEPS_TOGETHER}))
    for cell in cells:
        before = int(cell.prepared.model.optimizer.iterations)
        cell.epoch_s()
        assert (int(cell.prepared.model.optimizer.iterations) - before) * cell.cell.batch_size == cell.images


@pytest.mark.keras
def test_batches_grow_until_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keras")
    (job,) = jobs(BACKEND, "cnn", image_size="32")
    adapter = start_backend(BACKEND, "cpu", "float32")
    from bcdl.experiments import batch_size
    from bcdl.experiments.engine.training_cell import TrainingCell

    cell = TrainingCell.of(job, adapter)
    put = adapter.put

    def with_room_for_four(images: np.ndarray, labels: np.ndarray) -> Any:
        if len(images) > 4:
            raise MemoryError("as a framework would")
        return put(images, labels)

    monkeypatch.setattr(adapter, "put", with_room_for_four)
    monkeypatch.setattr(adapter, "is_out_of_memory", lambda error: isinstance(error, MemoryError))
    monkeypatch.setattr(batch_size, "_WINDOW_S", 0.05)
    ways = batch_size.ways(cell)
    assert list(ways) == ["batch 4", "batch 1", "batch 2"]
    assert all(way()[name] > 0 for name, way in ways.items())


def bcdl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [("bcdl", "experiment"), ("bcdl.experiment",)])
def test_every_file_is_listed_with_its_first_sentence(command: tuple[str, ...]) -> None:
    done = bcdl(*command)
    assert done.returncode == 0, done.stderr
    files = [file.stem for file in (ROOT / "bcdl" / "experiments").glob("*.py") if file.stem != "__init__"]
    assert files
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  "))
    assert set(lines) == {name.replace("_", "-") for name in files}
    assert all(sentence.endswith(".") for sentence in lines.values())


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_explains_itself_and_has_a_name_of_its_own(name: str) -> None:
    done = bcdl("bcdl", "experiment", name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: bcdl experiment {name}")
    definition = experiments.load(name)
    assert ("--backend" in done.stdout) != isinstance(definition, WithoutCell)
    subjects = [(other.name, getattr(other, "subject", "")) for other in map(experiments.load, experiments.names())]
    assert subjects.count((definition.name, getattr(definition, "subject", ""))) == 1


def test_an_unknown_experiment_is_named_with_those_there_are() -> None:
    done = bcdl("bcdl", "experiment", "nope", "--backend", "torch")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown experiment 'nope'; the experiments are batch-callback, batch-size,")


def test_the_list_of_experiments_needs_no_framework() -> None:
    code = (
        f"import sys, bcdl.experiment as e; e.overview(); print(set({('keras', *backends.NAMES)}) & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_only_a_slowed_worker_waits_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest batch is timed as a cell times its steps; shares wait alike, so that nothing else differs."""
    given: dict[str, object] = {}
    monkeypatch.setattr(steps, "_time_steps", lambda job, adapter, measured: given.update({share: adapter}))
    monkeypatch.setattr(steps.measurement, "Process", lambda measure, keep: measure)
    monkeypatch.setattr(steps.measurement, "serve", lambda *files, process: process(None, "the adapter", None))
    for worker in (steps.command(), steps.command(0.0), steps.command(0.1)):
        share = worker[-1]
        steps.main(share, "job", "result", "events")
    assert given.pop("none") == "the adapter"
    assert {share: type(adapter) for share, adapter in given.items()} == {"0.0": Slowed, "0.1": Slowed}


def test_a_larger_batch_that_fails_otherwise_ends_no_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kernels that count in 32 bits refuse large tensors; the sizes that ran are known all the same."""

    def run(tried: Job, *arguments: object, **named: object) -> Record:
        return record(status="ok" if tried.cell.batch_size < 20 else "failed")

    monkeypatch.setattr(launch, "run", run)
    options = argparse.Namespace(cell_timeout="60s", memory_limit="1GiB")
    assert list(largest_batch.ways(job(), options)) == ["batch 4", "batch 18, the largest found in 1.0 GiB and 60 s"]
    assert "batch 32: failed: it was made to fail: it counts as too large" in capsys.readouterr().out
    monkeypatch.setattr(launch, "run", lambda *arguments, **named: record(status="failed"))
    with pytest.raises(BcdlError, match="batch 4: failed: it was made to fail"):
        largest_batch.ways(job(), options)


def test_on_a_gpu_the_largest_batch_is_limited_by_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []

    def note(tried: Job, *arguments: object, limits: Limits, **named: object) -> Record:
        seen.append(limits.memory_bytes)
        return record()

    monkeypatch.setattr(launch, "run", note)
    on_gpu = dataclasses.replace(job(), cell=dataclasses.replace(job().cell, device="gpu"))
    assert largest_batch.fits(on_gpu, 4, Limits(60, 1000))
    assert seen == [1000]
    assert largest_batch._room(on_gpu, Limits(60, 2**30)) == "the GPU's memory and 60 s"
    assert largest_batch._room(job(), Limits(60, 2**30)) == "1.0 GiB and 60 s"
