"""Which slow-downs a comparison finds, on a test cell that starts in a fraction of a second.

As `injected-slowdowns`, with a loop of plain Python in place of the cell's training step, so that many more rounds can
be run.
"""

from __future__ import annotations

import argparse

from bcdl.experiments.engine.definition import InWorkers, Way
from bcdl.experiments.injected_slowdowns import NAME, SLOWDOWNS, slowed
from bcdl.experiments.workers import loop
from bcdl.settings.job import Job


def ways(job: Job, arguments: argparse.Namespace) -> dict[str, Way]:
    return slowed(job, loop.command)


# The loop stands in for the CNN's step, and needs no model.
EXPERIMENT = InWorkers(name=NAME, ways=ways, models="cnn", subject="a loop of plain Python", slowdowns=SLOWDOWNS)
