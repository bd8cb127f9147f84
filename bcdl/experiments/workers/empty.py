"""A worker that starts its backend and measures nothing.

`python -m bcdl.experiments.workers.empty JOB RESULT EVENTS`, as `bcdl.worker`.
"""

from __future__ import annotations

import sys

from bcdl.backends import Backend
from bcdl.experiments.workers.loop import no_data
from bcdl.settings.job import Job
from bcdl.worker import measurement
from bcdl.worker.measured import Measured

COMMAND = ("-m", "bcdl.experiments.workers.empty")


def main(job_file: str, result_file: str, events_file: str) -> int:
    return measurement.serve(
        job_file, result_file, events_file, process=measurement.Process(_measure_nothing, keep=False)
    )


def _measure_nothing(job: Job, adapter: Backend, measured: Measured) -> None:
    measured.dataset = no_data(job.cell)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
