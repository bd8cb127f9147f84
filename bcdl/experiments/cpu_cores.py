"""What more CPU cores give.

Workers of the same cell in turn, each restricted to some of the cores before it starts, so that every framework sizes
its own pools of threads by the cores that it sees. Their step rates are compared. This needs a system that can restrict
a process to cores (Linux).
"""

from __future__ import annotations

import argparse

from bcdl.experiments.engine import cores
from bcdl.experiments.engine.definition import InWorkers, Way
from bcdl.experiments.engine.rates import rate_in_worker
from bcdl.experiments.workers import steps
from bcdl.settings.job import Job


def ways(job: Job, arguments: argparse.Namespace) -> dict[str, Way]:
    return {cores.in_words(count): _worker(job, count) for count in cores.counts()}


def _worker(job: Job, count: int) -> Way:
    name = cores.in_words(count)

    def way() -> dict[str, float]:
        with cores.held_to(count):
            return {name: rate_in_worker(job, steps.command(), name)}

    return way


EXPERIMENT = InWorkers(name="CPU cores", ways=ways, searches=True)
