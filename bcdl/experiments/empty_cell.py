"""What a cell costs beyond the framework's own start: `python -m benchmarks.experiment_noop --backend jax`.

In turn, a process that does nothing but import Keras and with it the backend, and a cell that measures nothing through
the whole machinery: a worker with its imports, its limits and its log, a record read back, checked and stored.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bcdl.errors import BcdlError, run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way
from bcdl.experiments.workers import empty
from bcdl.records import store
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import Run
from bcdl.settings.job import Job
from bcdl.settings.limits import resolve_limits

NAME = "What the harness costs a cell"
_DEFAULT_LIMITS = {"cell_timeout": "4h", "memory_limit": None}


def main() -> int:
    return engine.main_of_workers(__doc__ or "", "experiment_noop", NAME, _ways, models="cnn", unit="s")


def _ways(job: Job) -> dict[str, Way]:
    return {"import alone": lambda: _import_alone(job), "a cell that measures nothing": lambda: _cell(job)}


def _import_alone(job: Job) -> dict[str, float]:
    environment = {**os.environ, "KERAS_BACKEND": job.cell.backend}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import keras"], env=environment, check=True, capture_output=True)
    return {"import alone": time.perf_counter() - start}


def _cell(job: Job) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bcdl-") as folder:
        run = Run([job], Path(folder), limits=resolve_limits(_DEFAULT_LIMITS), worker=empty.COMMAND)
        store.check_writable(run.results)
        progress = RunProgress(console(), [job.cell], None)
        start = time.perf_counter()
        record = run.measure(job, progress)
        seconds = time.perf_counter() - start
    if not record.ok:
        raise BcdlError(f"{job.cell.title}: {record.status}: {record.reason}")
    return {"a cell that measures nothing": seconds}


if __name__ == "__main__":
    run_command(main)
