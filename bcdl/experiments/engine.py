"""What the experiments here share: their options, a model ready to train in this process, and how results are kept."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import math
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from bcdl import backends, datasets
from bcdl.errors import BcdlError, UsageError
from bcdl.machine import hardware, provenance
from bcdl.records import experiment, store
from bcdl.records.experiment import Experiment
from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.runner.progress import console
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits
from bcdl.settings.options import add_cell_options, resolve, whole
from bcdl.worker.session import start_backend

MODELS = "cnn,mobilenet"
_SKIPPED_ROUNDS = 1  # after compilation, until caches are warm
# An epoch that is timed takes so long at least, so that its first step counts for little...
_LEAST_EPOCH_S = 2.0
# ... and a multiple of so many steps, for ways that run several at once: Keras runs all of them, asked for or not.
STEPS_TOGETHER = 4


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A cell in this process: its model is built, compiled and has run a step.

    Attributes:
        job: what it was built for.
        adapter: of its backend.
        regimes: `bcdl.regimes`, which imports Keras.
        model, feed: what `bcdl.training.fit` takes.
        dataset: the splits.
    """

    job: Job
    adapter: backends.Backend
    regimes: ModuleType
    model: Any
    feed: Any
    dataset: datasets.Dataset

    @property
    def cell(self) -> Cell:
        return self.job.cell

    @property
    def images(self) -> int:
        """Images an epoch."""
        return int(self.feed.steps_per_epoch * self.cell.batch_size)

    def with_long_epochs(self) -> Prepared:
        """The same with training images repeated until an epoch takes `_LEAST_EPOCH_S`, by two that ran."""
        together = STEPS_TOGETHER * self.cell.batch_size
        least = max(self.images, _LEAST_EPOCH_S * self.images / min(self.epoch_s([]) for _ in range(2)))
        train = self.dataset.train.repeated(together * math.ceil(least / together))
        feed = self.regimes.TrainFeed(train, self.cell.batch_size, self.cell.seed, self.cell.augment)
        return dataclasses.replace(self, feed=feed)

    def epoch_s(self, callbacks: list[Any]) -> float:
        """Seconds of one epoch of `fit` from its beginning to the end of its last step, by a clock of epochs alone.

        A clock around `fit` would time its end too: on TensorFlow that waits now and then, for as long as the epoch.
        """
        clock = _epoch_clock(self.adapter)
        self.fit([clock, *callbacks])
        return float(clock.seconds)

    def fit(self, callbacks: list[Any]) -> None:
        """One epoch of `fit`, to the end of its last step."""
        self.model.fit(
            self.adapter.stream(self.feed.stream()),
            steps_per_epoch=self.feed.steps_per_epoch,
            epochs=1,
            verbose=0,
            shuffle=False,
            callbacks=callbacks,
        )
        _wait_for(self.model, self.adapter)

    def rate(self, step: Callable[[], Any], least_s: float, batch_size: int) -> float:
        """Images/s of training steps, about `least_s` seconds of them; the device is idle at both edges.

        How many steps that is, the faster of two that are waited for tells: a framework that runs ahead of its device
        would take any number of them in that time.
        """
        self.adapter.sync(step())
        count = math.ceil(least_s / min(self._waited_s(step) for _ in range(2)))
        start = time.perf_counter()
        for _ in range(count):
            last = step()
        self.adapter.sync(last)
        return count * batch_size / (time.perf_counter() - start)

    def _waited_s(self, step: Callable[[], Any]) -> float:
        start = time.perf_counter()
        self.adapter.sync(step())
        return time.perf_counter() - start


# One round of a way: its figures by name, most often just one of the way's own name.
Way = Callable[[], dict[str, float]]


def main(
    doc: str,
    program: str,
    name: str,
    ways: Callable[[Prepared], Mapping[str, Way]],
    models: str = MODELS,
    unit: str = "images/s",
    searches: bool = False,
) -> int:
    """Run the ways in random order, round after round, on each model of this process; keep and show them.

    Args:
        doc: the program's docstring.
        program: its name in this package.
        name: of the experiment.
        ways: what is compared on a prepared cell; all others are held against the first.
        models: where none are asked for.
        unit: of the figures; more is better unless it is a time.
        searches: whether the ways are settings that a user may choose among.
    """

    def prepare_ways(job: Job) -> tuple[Mapping[str, Way], dict[str, Any]]:
        prepared = prepare(job)
        return ways(prepared), prepared.adapter.describe()

    arguments = parser(doc, program, models).parse_args()
    return run(arguments, _SKIPPED_ROUNDS, prepare_ways, name, unit=unit, searches=searches, sample="window")


def main_of_workers(
    doc: str,
    program: str,
    name: str,
    ways: Callable[[Job], Mapping[str, Way]],
    models: str = MODELS,
    unit: str = "images/s",
    searches: bool = False,
) -> int:
    """As `main`, of ways that start a worker each, so that nothing is prepared here and no round is skipped."""
    arguments = parser(doc, program, models).parse_args()
    return run_workers(arguments, ways, name, unit=unit, searches=searches)


def parser(doc: str, program: str, models: str = MODELS) -> argparse.ArgumentParser:
    """The options that every experiment has."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{program}", description=doc)
    made.add_argument("--backend", required=True, help=f"one of {', '.join(backends.NAMES)}")
    made.add_argument("--models", default=models, help=f"model names separated by commas; default {models}")
    made.add_argument("--rounds", default="12", help="rounds; default 12")
    add_cell_options(made.add_argument)
    return made


def run_workers(
    arguments: argparse.Namespace, ways: Callable[[Job], Mapping[str, Way]], name: str, subject: str = "", **shared: Any
) -> int:
    """As `main_of_workers`, of arguments that are read already; `subject` and `shared` as in `run`."""
    return run(arguments, 0, lambda job: (ways(job), {}), name, subject, sample="process", **shared)


def run(
    arguments: argparse.Namespace,
    skipped: int,
    prepare: Callable[[Job], tuple[Mapping[str, Way], dict[str, Any]]],
    name: str,
    subject: str = "",
    **shared: Any,
) -> int:
    """As `main`, of ways that `prepare` makes of a job, beside what is to be said of the environment.

    `skipped` rounds are not kept; `subject` is the cell in words, made from it where not given; `shared` are further
    fields of `Experiment`.
    """
    results, rounds = Path(arguments.results), whole("--rounds", arguments.rounds)
    jobs = resolve(vars(arguments), arguments.backend, arguments.models)
    if len({in_words(job.cell) for job in jobs}) < len(jobs):
        raise UsageError(f"an experiment takes one seed and one split, and was given {len(jobs)} cells; give --seeds 0")
    store.check_writable(results)
    run_id = store.new_run_id()
    for job in jobs:
        try:
            ways, described = prepare(job)
            figures = _measure(ways, rounds, skipped, job.cell.seed)
        except backends.UnsupportedError as error:
            raise UsageError(str(error)) from error
        environment = {**described, **hardware.describe(job.cell.device), **provenance.commit()}
        fixed: dict[str, Any] = {
            "run": run_id,
            "name": name,
            "subject": subject or in_words(job.cell),
            "environment": environment,
            "cell": job.cell.to_dict(),
        }
        first, *others = figures
        found = [Experiment(ways=(first, b), a=figures[first], b=figures[b], **fixed, **shared) for b in others]
        for one in found:
            experiment.append(results, hardware.machine_name(job.cell.device), one)
        console().print(experiment.table(name, found).to_rich())
    return 0


def step_rate(job: Job, worker: Sequence[str], what: str, limits: Limits | None = None) -> float:
    """Images/s of training steps in a worker of its own; BcdlError, naming `what`, where it is not ok."""
    record = run_worker(job, worker, limits)
    if not record.ok:
        raise BcdlError(f"{job.cell.title}, {what}: {record.status}: {record.reason}")
    return record.value("step_images_per_s")


def run_worker(job: Job, worker: Sequence[str], limits: Limits | None = None) -> Record:
    """The record of the job in a worker of its own, which is kept nowhere."""
    with tempfile.TemporaryDirectory(prefix="bcdl-") as folder:
        log = Path(folder) / "log.txt"
        return launch.run(job, "experiment", log, lambda phase: None, limits=limits, worker=worker)


def prepare(job: Job) -> Prepared:
    cell = job.cell
    adapter = start_backend(cell.backend, cell.device, cell.precision)
    regimes = importlib.import_module("bcdl.worker.regimes")
    dataset = datasets.load(job.request)
    model = regimes.build(cell, job.weights_file)
    feed = regimes.TrainFeed(dataset.train, cell.batch_size, cell.seed, cell.augment)
    regimes.first_step(model, adapter, feed)
    return Prepared(job, adapter, regimes, model, feed, dataset)


def _epoch_clock(adapter: backends.Backend) -> Any:
    keras = importlib.import_module("keras")

    class Clock(keras.callbacks.Callback):  # type: ignore[name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            _wait_for(self.model, adapter)
            self.seconds = time.perf_counter() - self.start

    return Clock()


def _wait_for(model: Any, adapter: backends.Backend) -> None:
    """Wait for the model's last step."""
    adapter.sync([variable.value for variable in model.trainable_variables])


def _measure(ways: Mapping[str, Way], rounds: int, skipped: int, seed: int) -> dict[str, list[float]]:
    """Figures by name, one a round kept, those of the first way first."""
    order = random.Random(seed)
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + skipped):
        for way in order.sample(list(ways), k=len(ways)):
            for told, figure in ways[way]().items():
                if number >= skipped:
                    figures.setdefault(told, []).append(figure)
    return figures


def in_words(cell: Cell) -> str:
    """The cell in words, as experiments name it."""
    precision = "" if cell.precision == "float32" else f", {cell.precision}"
    return f"{cell.model} on {cell.backend}, {cell.image_size}x{cell.image_size}, batch {cell.batch_size}{precision}"
