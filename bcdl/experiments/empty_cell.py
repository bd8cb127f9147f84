"""What the harness costs a cell beyond the framework's own start.

Two ways in turn: a process that only imports Keras and with it the backend, and a cell that measures nothing but goes
through the whole harness: a worker with its imports, its limits and its log, and a record that is read back, checked
and stored.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from bcdl.errors import BcdlError
from bcdl.experiments.engine.definition import InWorkers, Way
from bcdl.experiments.workers import empty
from bcdl.machine import environment, scratch
from bcdl.machine.clock import stopwatch
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import Run
from bcdl.settings.job import Job
from bcdl.settings.limits import resolve_limits

_DEFAULT_LIMITS = {"cell_timeout": "4h", "memory_limit": None}


def ways(job: Job, arguments: argparse.Namespace) -> dict[str, Way]:
    return {"import alone": lambda: _import_alone(job), "a cell that measures nothing": lambda: _cell(job)}


def _import_alone(job: Job) -> dict[str, float]:
    variables = {**environment.of_child(), "KERAS_BACKEND": job.cell.backend}
    elapsed = stopwatch()
    subprocess.run([sys.executable, "-c", "import keras"], env=variables, check=True, capture_output=True)
    return {"import alone": elapsed()}


def _cell(job: Job) -> dict[str, float]:
    with scratch.folder() as folder:
        run = Run([job], folder, limits=resolve_limits(_DEFAULT_LIMITS), worker=empty.COMMAND)
        run.check()
        progress = RunProgress(console(), [job.cell], None)
        elapsed = stopwatch()
        (record,) = run.measure([job], progress)
        seconds = elapsed()
    if not record.ok:
        raise BcdlError(f"{job.cell.title}: {record.status}: {record.reason}")
    return {"a cell that measures nothing": seconds}


EXPERIMENT = InWorkers(name="What the harness costs a cell", ways=ways, models="cnn", unit="s")
