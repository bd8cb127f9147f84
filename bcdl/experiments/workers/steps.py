"""A worker that times training steps and nothing else: `python -m benchmarks.step_worker SHARE JOB RESULT EVENTS`.

It stands in for `bcdl.worker` where many processes are needed. After each step it waits, busily, for SHARE of the time
that the step took: 0 for none, 0.1 for a step that takes a tenth longer. A batch may be larger than the training
split; its images are repeated then.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from bcdl import backends, datasets
from bcdl.experiments.workers.slowed import Slowed
from bcdl.records.record import Record
from bcdl.settings.job import Job
from bcdl.worker import measurement, timing


def command(share: float = 0.0) -> tuple[str, ...]:
    """The interpreter's arguments that start this worker, as `bcdl.launch.run` takes them."""
    return ("-m", "bcdl.experiments.workers.steps", str(share))


def main(share: str, job_file: str, result_file: str, events_file: str) -> int:
    def time_steps(job: Job, adapter: backends.Backend, regimes: ModuleType, findings: dict[str, Any], *_: Any) -> None:
        _time_steps(job, Slowed(adapter, float(share)), regimes, findings)

    def measure_cell(job: Job, run_id: str, report: measurement.Report) -> Record:
        return measurement.run(job, run_id, report, measure_cell=time_steps)[0]

    return measurement.serve(job_file, result_file, events_file, measure_cell)


def _time_steps(job: Job, adapter: Any, regimes: ModuleType, findings: dict[str, Any]) -> None:
    cell, metrics = job.cell, findings["metrics"]
    findings["environment"].update(adapter.describe())
    dataset = datasets.load(job.request)
    findings["dataset"] = measurement.describe_dataset(dataset)
    model = regimes.build(cell, job.weights_file)
    train = dataset.train.repeated(max(len(dataset.train), cell.batch_size))
    feed = regimes.TrainFeed(train, cell.batch_size, cell.seed, cell.augment)
    metrics["first_step_s"] = regimes.first_step(model, adapter, feed)
    timed = regimes.time_steps(model, adapter, feed, cell)
    findings["samples"] = {"step_s": timed.kept, "step_warm_up_s": timed.warm_up}
    metrics["step_images_per_s"] = timing.rate(cell.window_steps * cell.batch_size, timed.kept)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
