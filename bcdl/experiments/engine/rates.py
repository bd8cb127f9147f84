"""Rates of training steps: in this process, or in a worker of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from bcdl.errors import BcdlError, debugging
from bcdl.machine import scratch
from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.screen import warn
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits
from bcdl.worker import timing


def rate(step: Callable[[], Any], sync: Callable[[Any], None], least_s: float, batch_size: int) -> float:
    """Images/s of training steps that take about `least_s` seconds; the device is idle at both edges.

    The number of steps follows from the faster of two that are waited for: a framework that runs ahead of its device
    would start any number of them in that time.
    """
    sync(step())
    count = math.ceil(least_s / min(timing.window(1, step, sync) for _ in range(2)))
    return count * batch_size / timing.window(count, step, sync)


def rate_in_worker(job: Job, worker: Sequence[str], way: str, limits: Limits | None = None) -> float:
    """Images/s of training steps in a worker of its own; BcdlError, naming the way, if the worker's record is not ok.

    `worker` are the interpreter's arguments that start it.
    """
    record = record_of_worker(job, worker, limits)
    if not record.ok:
        if debugging():
            for line in record.log_tail:
                warn(line)
        raise BcdlError(f"{job.cell.title}, {way}: {record.status}: {record.reason}")
    return record.value("step_images_per_s")


def record_of_worker(job: Job, worker: Sequence[str], limits: Limits | None = None) -> Record:
    """The record of the job in a worker of its own, which is kept nowhere."""
    with scratch.folder() as folder:
        return launch.run(job, "experiment", folder / "log.txt", lambda phase: None, limits=limits, worker=worker)
