"""A worker that times training steps and nothing else: `python -m benchmarks.step_worker SHARE JOB RESULT EVENTS`.

It stands in for `bcdl.worker` where many processes are needed. After each step it waits, busily, for SHARE of the time
that the step took: 0 for none, 0.1 for a step that takes a tenth longer. A batch may be larger than the training
split; its images are repeated then.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from bcdl import backends, datasets
from bcdl.experiments.workers.slowed import Slowed
from bcdl.settings.job import Job
from bcdl.worker import measurement, timing
from bcdl.worker.measured import Measured, Report


def command(share: float = 0.0) -> tuple[str, ...]:
    """The interpreter's arguments that start this worker, as `bcdl.launch.run` takes them."""
    return ("-m", "bcdl.experiments.workers.steps", str(share))


def main(share: str, job_file: str, result_file: str, events_file: str) -> int:
    def time_steps(job: Job, adapter: backends.Backend, measured: Measured, report: Report) -> None:
        _time_steps(job, Slowed(adapter, float(share)), measured)

    return measurement.serve(job_file, result_file, events_file, time_steps)


def _time_steps(job: Job, adapter: Any, measured: Measured) -> None:
    from bcdl.worker import cell, regimes  # here: they import Keras, on the backend that is there by now
    from bcdl.worker.prepared import prepare

    measured.environment |= adapter.describe()
    dataset = datasets.load(job.request)
    measured.dataset = cell.describe_dataset(dataset)
    train = dataset.train.repeated(max(len(dataset.train), job.cell.batch_size))
    prepared = prepare(job, adapter, dataclasses.replace(dataset, train=train))
    measured.metrics["first_step_s"] = regimes.first_step(prepared)
    timed = regimes.time_steps(prepared)
    measured.samples = {"step_s": timed.kept, "step_warm_up_s": timed.warm_up}
    images = job.cell.window_steps * job.cell.batch_size
    measured.metrics["step_images_per_s"] = timing.rate(images, timed.kept)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
