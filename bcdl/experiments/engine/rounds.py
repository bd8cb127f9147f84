"""Runs an experiment: its ways in random order, round after round, on each cell; and keeps the result."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.experiments.engine.definition import ROUNDS, Definition, InProcess, InWorkers, Way, WithoutCell
from bcdl.machine import environment, hardware, provenance, scratch
from bcdl.records import experiment, log, runs, store
from bcdl.records.experiment import Experiment
from bcdl.screen import say
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.options import notices, resolve
from bcdl.worker import session

_SKIPPED_ROUNDS = 1  # in one process, after compilation, until caches are warm


def run(definition: Definition, arguments: argparse.Namespace) -> Iterator[list[Experiment]]:
    """The experiments of each cell, one for each comparison, as soon as they are kept.

    Args:
        definition: the definition of the experiment.
        arguments: the values of `results`, of `rounds` and of the definition's options; and, if it measures cells, of
            the options of a cell, and `backend` and `models`.

    Raises:
        UsageError: an option can't be used, or the backend or the hardware lacks what the experiment needs.
        BcdlError: a worker failed.
    """
    results, rounds = Path(arguments.results), ROUNDS.read(arguments.rounds)
    if isinstance(definition, WithoutCell):
        run_id = _begin(results, "cpu")
        yield _kept(results, "cpu", _measure_without_cell(definition, arguments, rounds, run_id))
        return
    jobs = _jobs(arguments)
    run_id = _begin(results, jobs[0].cell.device, notices(vars(arguments), spread=False))
    for job in jobs:
        try:
            experiments = _measure(definition, job, arguments, rounds, run_id)
        except (backends.DeviceError, backends.UnsupportedError) as error:
            raise UsageError(str(error)) from error
        yield _kept(results, job.cell.device, experiments)


def _begin(results: Path, device: str, of_options: Sequence[str] = ()) -> str:
    """Take note of the code, look after the results folder, and print all notices; the run's id."""
    provenance.take()
    store.check_writable(results)
    scratch.also_in(results / runs.LOCAL)
    for notice in [*of_options, *log.repair(results), *environment.notices(device)]:
        say(notice)
    return runs.begin(results)


def _jobs(arguments: argparse.Namespace) -> list[Job]:
    jobs = resolve(vars(arguments), arguments.backend, arguments.models, spread=False)
    if len({in_words(job.cell) for job in jobs}) < len(jobs):
        raise UsageError(f"an experiment takes one seed and one split, and was given {len(jobs)} cells; give --seeds 0")
    return jobs


def _kept(results: Path, device: str, experiments: list[Experiment]) -> list[Experiment]:
    for measured in experiments:
        experiment.append(results, hardware.machine_name(device), measured)
    return experiments


def in_words(cell: Cell) -> str:
    """The cell in words, as experiments name it."""
    precision = "" if cell.precision == "float32" else f", {cell.precision}"
    return f"{cell.model} on {cell.backend}, {cell.image_size}x{cell.image_size}, batch {cell.batch_size}{precision}"


def _measure(
    definition: InProcess | InWorkers, job: Job, arguments: argparse.Namespace, rounds: int, run_id: str
) -> list[Experiment]:
    """The ways of the cell, each but the first compared with the first."""
    facts = {**hardware.describe(job.cell.device), **provenance.commit()}
    if isinstance(definition, InProcess):
        ways, described = _ways_in_process(definition, job)
        figures = _run_rounds(ways, rounds, _SKIPPED_ROUNDS, job.cell.seed)
        subject, sample = in_words(job.cell), "window"
    else:
        figures, described = _run_rounds(definition.ways(job, arguments), rounds, 0, job.cell.seed), {}
        subject, sample = definition.subject or in_words(job.cell), "process"
    changed = provenance.changed(job.cell.backend, __name__, definition.ways.__module__)
    facts |= {**described, "code_changed": changed}
    slowdowns = definition.slowdowns if isinstance(definition, InWorkers) else {}
    first, *others = figures
    return [
        Experiment(
            run=run_id,
            name=definition.name,
            subject=subject,
            ways=(first, way),
            a=figures[first],
            b=figures[way],
            environment=facts,
            unit=definition.unit,
            searches=definition.searches,
            sample=sample,
            cell=job.cell.to_dict(),
            slowdown=slowdowns.get(way),
        )
        for way in others
    ]


def _measure_without_cell(
    definition: WithoutCell, arguments: argparse.Namespace, rounds: int, run_id: str
) -> list[Experiment]:
    facts = {**hardware.describe("cpu"), **provenance.commit()}
    ways, comparisons = definition.plan(arguments)
    figures = _run_rounds(ways, rounds, 0, seed=0)
    files = [f"bcdl.backends.{name}.input_pipeline" for name in backends.NAMES]
    facts["code_changed"] = provenance.changed(backends.NAMES[0], __name__, definition.plan.__module__, *files)
    return [
        Experiment(
            run=run_id,
            name=comparison.name or definition.name,
            subject=comparison.subject,
            ways=comparison.ways,
            a=figures[comparison.figures[0]],
            b=figures[comparison.figures[1]],
            environment=facts,
            unit=comparison.unit or definition.unit,
            sample="process",
        )
        for comparison in comparisons
    ]


def _ways_in_process(definition: InProcess, job: Job) -> tuple[Mapping[str, Way], dict[str, Any]]:
    """The ways to measure the job's cell, which is prepared in this process; and the facts that its backend reports."""
    adapter = session.start(job.cell)
    from bcdl.experiments.engine.training_cell import TrainingCell  # here: it imports Keras

    return definition.ways(TrainingCell.of(job, adapter)), adapter.describe()


def _run_rounds(ways: Mapping[str, Way], rounds: int, skipped: int, seed: int) -> dict[str, list[float]]:
    """Figures by name, one for each round that counts, the first way's first; `skipped` rounds do not count."""
    order = random.Random(seed)
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + skipped):
        for way in order.sample(list(ways), k=len(ways)):
            for name, figure in ways[way]().items():
                if number >= skipped:
                    figures.setdefault(name, []).append(figure)
    return figures
