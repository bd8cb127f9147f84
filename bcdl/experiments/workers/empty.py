"""A worker that starts its backend and measures nothing: `python -m benchmarks.noop_worker JOB RESULT EVENTS`."""

from __future__ import annotations

import sys
from typing import Any

from bcdl.experiments.workers.loop import no_data
from bcdl.records.record import Record
from bcdl.settings.job import Job
from bcdl.worker import measurement

COMMAND = ("-m", "bcdl.experiments.workers.empty")


def main(job_file: str, result_file: str, events_file: str) -> int:
    return measurement.serve(job_file, result_file, events_file, _measure_nothing)


def _measure_nothing(job: Job, run_id: str, report: measurement.Report) -> Record:
    def nothing(job: Job, adapter: Any, regimes: Any, findings: dict[str, Any], *_: Any) -> None:
        findings["dataset"] = no_data(job.cell)

    return measurement.run(job, run_id, report, measure_cell=nothing)[0]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
