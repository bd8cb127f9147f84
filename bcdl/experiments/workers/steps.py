"""A worker that times training steps alone: `python -m bcdl.experiments.workers.steps SHARE JOB RESULT EVENTS`.

It stands in for `bcdl.worker` if many processes are needed. With a SHARE it waits for the device after each step, and
then, busily, for SHARE of the time that the step took: 0.1 for a step that takes a tenth longer, 0 for one that is
waited for and no more, so that two shares differ by nothing else. With `none` steps run as in `bcdl.worker`, waited for
at the edges of a window. A batch may be larger than the training split; its images are repeated then.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import cast

from bcdl.backends import Backend
from bcdl.experiments.workers.slowed import Slowed
from bcdl.settings.job import Job
from bcdl.worker import inputs, measurement, timing
from bcdl.worker.measured import Measured

_AS_IT_IS = "none"


def command(share: float | None = None) -> tuple[str, ...]:
    """The interpreter's arguments that start this worker, as `bcdl.runner.launch.run` takes them."""
    return ("-m", "bcdl.experiments.workers.steps", _AS_IT_IS if share is None else str(share))


def main(share: str, job_file: str, result_file: str, events_file: str) -> int:
    def time_steps(job: Job, adapter: Backend, measured: Measured) -> None:
        timed = adapter if share == _AS_IT_IS else cast(Backend, Slowed(adapter, float(share)))
        _time_steps(job, timed, measured)

    return measurement.serve(job_file, result_file, events_file, process=measurement.Process(time_steps, keep=False))


def _time_steps(job: Job, adapter: Backend, measured: Measured) -> None:
    from bcdl.worker import cell as whole_cell  # here: they import Keras, and its backend is started by now
    from bcdl.worker import prepared, regimes

    cell = job.cell
    measured.environment.update(adapter.describe())
    dataset = inputs.load_data(job)
    measured.dataset = whole_cell.describe_dataset(dataset)
    enough = dataset.train.repeated(max(len(dataset.train), cell.batch_size))
    ready = prepared.prepare(job, adapter, dataclasses.replace(dataset, train=enough))
    measured.metrics["first_step_s"] = regimes.first_step(ready)
    timed = regimes.time_steps(ready)
    measured.samples |= {"step_s": timed.kept, "step_warm_up_s": timed.warm_up}
    measured.metrics["step_images_per_s"] = timing.rate(cell.window_steps * cell.batch_size, timed.kept)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
