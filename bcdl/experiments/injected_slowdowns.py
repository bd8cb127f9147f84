"""Which slow-downs a comparison finds, on processes of a real cell that are slowed down on purpose.

Processes of one cell run in turn and are slowed down by known shares: a busy wait after each training step. Two more
are not slowed down, so that equal sides are compared, too. From these rounds
`bcdl.statistics.power_analysis` computes the power of a comparison of this cell, its rate of false alarms, and the
noise of equal sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from bcdl.experiments.engine.definition import InWorkers, Way
from bcdl.experiments.engine.rates import rate_in_worker
from bcdl.experiments.workers import steps
from bcdl.settings.job import Job

NAME = "Slow-downs injected"
SLOWDOWNS = {
    "as it is": 0.0,
    "as it is, again": 0.0,
    **{f"slower by {share:.0%}": share for share in (0.02, 0.05, 0.1, 0.2, 0.5)},
}


def ways(job: Job, arguments: argparse.Namespace) -> dict[str, Way]:
    return slowed(job, steps.command)


def slowed(job: Job, command: Callable[[float], Sequence[str]]) -> dict[str, Way]:
    """Twice the cell as it is, and the cell slowed down; `command` gives the worker for a share to slow it down by."""
    return {way: _process(job, way, command(share)) for way, share in SLOWDOWNS.items()}


def _process(job: Job, way: str, worker: Sequence[str]) -> Way:
    return lambda: {way: rate_in_worker(job, worker, way)}


EXPERIMENT = InWorkers(name=NAME, ways=ways, slowdowns=SLOWDOWNS)
