"""What the experiments here share: their options, a model ready to train in this process, and how results are kept."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import backends
from bcdl import datasets, experiment, machine, store
from bcdl.cell import Cell
from bcdl.experiment import Experiment
from bcdl.options import Job, add_cell_options, resolve, whole
from bcdl.progress import console

_SKIPPED_ROUNDS = 1  # after compilation, until caches are warm


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A cell in this process: its model is built, compiled and has run a step.

    Attributes:
        cell: what it was built for.
        adapter: of its backend.
        regimes: `bcdl.regimes`, which imports Keras.
        model, feed: what `regimes.fit` takes.
        dataset: the splits.
    """

    cell: Cell
    adapter: backends.Backend
    regimes: ModuleType
    model: Any
    feed: Any
    dataset: datasets.Dataset

    @property
    def images(self) -> int:
        """Images an epoch."""
        return int(self.feed.steps_per_epoch * self.cell.batch_size)

    def epoch_s(self, callbacks: list[Any]) -> float:
        """Seconds of a bare `fit` of one epoch, to the end of its last step."""
        start = time.perf_counter()
        self.model.fit(
            self.adapter.stream(self.feed.stream()),
            steps_per_epoch=self.feed.steps_per_epoch,
            epochs=1,
            verbose=0,
            shuffle=False,
            callbacks=callbacks,
        )
        self.adapter.sync([variable.value for variable in self.model.trainable_variables])
        return time.perf_counter() - start

    def rate(self, step: Callable[[], Any], least_s: float) -> float:
        """Images/s of training steps, `least_s` seconds of them or more; the device is idle at both edges."""
        start, count = time.perf_counter(), 0
        while time.perf_counter() < start + least_s:
            last = step()
            count += 1
        self.adapter.sync(last)
        return count * self.cell.batch_size / (time.perf_counter() - start)


# One round of a way: its rates by name, most often just one of the way's own name.
Way = Callable[[], dict[str, float]]
# What an experiment compares on a prepared cell, the way that the others are held against first.
Ways = Callable[[Prepared], Mapping[str, Way]]


def main(doc: str, program: str, name: str, ways: Ways, models: str = "cnn,mobilenet") -> int:
    """Run the ways in random order, round after round, on each model; keep and show each against the first rate."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{program}", description=doc)
    parser.add_argument("--backend", required=True, help=f"one of {', '.join(backends.NAMES)}")
    parser.add_argument("--models", default=models, help="model names separated by commas")
    parser.add_argument("--rounds", default="12", help="rounds; default 12")
    add_cell_options(parser.add_argument)
    arguments = parser.parse_args()
    results, rounds, run = Path(arguments.results), whole("--rounds", arguments.rounds), store.new_run_id()
    jobs = resolve(vars(arguments), arguments.backend, arguments.models)
    store.check_writable(results)
    for job in jobs:
        found = _measure(_prepare(job), rounds, run, name, ways)
        for one in found:
            experiment.append(results, machine.machine_name(job.cell.device), one)
        console().print(experiment.table(name, found).to_rich())
    return 0


def _prepare(job: Job) -> Prepared:
    cell = job.cell
    os.environ["KERAS_BACKEND"] = cell.backend
    adapter = backends.load(cell.backend)
    adapter.configure(cell.device, cell.precision)
    regimes = importlib.import_module("bcdl.regimes")
    regimes.set_keras_defaults(cell.precision)
    dataset = datasets.load(job.request)
    model = regimes.build(cell, job.weights_file)
    feed = regimes.TrainFeed(dataset.train, cell.batch_size, cell.seed, cell.augment)
    regimes.first_step(model, adapter, feed)
    return Prepared(cell, adapter, regimes, model, feed, dataset)


def _measure(prepared: Prepared, rounds: int, run: str, name: str, ways: Ways) -> list[Experiment]:
    order, compared = random.Random(prepared.cell.seed), ways(prepared)
    rates: dict[str, list[float]] = {}
    for number in range(rounds + _SKIPPED_ROUNDS):
        for way in order.sample(list(compared), k=len(compared)):
            for told, rate in compared[way]().items():
                if number >= _SKIPPED_ROUNDS:
                    rates.setdefault(told, []).append(rate)
    cell = prepared.cell
    subject = f"{cell.model} on {cell.backend}, {cell.image_size}x{cell.image_size}, batch {cell.batch_size}"
    environment = {**prepared.adapter.describe(), **machine.describe(cell.device), **machine.commit()}
    first = next(iter(compared))
    return [
        Experiment(run, name, subject, (first, way), rates[first], found, "images/s", environment)
        for way, found in sorted(rates.items())
        if way != first
    ]
