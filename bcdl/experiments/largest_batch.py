"""The largest batch that fits into memory and time.

Each try is a worker limited by `--cell-timeout` and by memory, of the GPU or, on a CPU, by `--memory-limit`, so that
running out of either ends the worker alone. It runs all that is timed later and leaves a twentieth to spare, since the
same steps may take more memory another time. From the cell's own batch on, sizes double until one does not fit, then
the gap is halved, in `MOST_TRIES` tries at most. The largest size that fits is then timed in turn with the cell's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable

from bcdl.errors import BcdlError
from bcdl.experiments.engine.definition import InWorkers, Way
from bcdl.experiments.engine.rates import rate_in_worker, record_of_worker
from bcdl.experiments.workers import steps
from bcdl.records import record
from bcdl.screen import say
from bcdl.settings.cell import MOST_BATCH
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits, add_limit_options, resolve_limits

MOST_TRIES = 14
# The share that a try leaves to spare: of the limit, and, by trying more images, of the device's memory.
_SPARE = 1 / 20
# Sizes closer than this share count as equal: an eighth of a batch is not worth another try.
_CLOSE = 1 / 8


def ways(job: Job, arguments: argparse.Namespace) -> dict[str, Way]:
    limits, own = resolve_limits(vars(arguments)), job.cell.batch_size
    size = largest(own, lambda batch: fits(job, batch, limits) if batch == own else runs(job, batch, limits))
    named = {f"batch {own}": own, f"batch {size}, the largest found in {_room(job, limits)}": size}
    return {name: _timed(with_batch(job, batch), name, limits) for name, batch in named.items()}


def _room(job: Job, limits: Limits) -> str:
    """What a batch had to fit into, in words."""
    memory = f"{(limits.memory_bytes or 0) / 2**30:.1f} GiB" if job.cell.device == "cpu" else "the GPU's memory"
    return f"{memory} and {limits.seconds:g} s"


def largest(start: int, is_fit: Callable[[int], bool]) -> int:
    """The largest size that fitted, from `start` on; BcdlError if not even `start` fits."""
    if not is_fit(start):
        raise BcdlError(f"not even batch {start} fits; use a smaller --batch-size or --image-size")
    largest_fit, too_large = start, None
    for _ in range(MOST_TRIES - 1):
        if too_large is not None and too_large - largest_fit <= max(1, _CLOSE * largest_fit):
            break
        tried = 2 * largest_fit if too_large is None else (largest_fit + too_large) // 2
        if is_fit(tried):
            largest_fit = tried
        else:
            too_large = tried
    return largest_fit


def fits(job: Job, batch_size: int, limits: Limits) -> bool:
    """Whether steps of such a batch fit into memory and time with some to spare.

    Raises BcdlError if the worker fails for another reason.
    """
    if limits.memory_bytes and job.cell.device == "cpu":
        limits = dataclasses.replace(limits, memory_bytes=int((1 - _SPARE) * limits.memory_bytes))
    images = batch_size + math.ceil(_SPARE * batch_size)
    if images > MOST_BATCH:
        say(f"{job.cell.title}, batch {batch_size}: not tried, since no batch has more than {MOST_BATCH:,} images")
        return False
    tried = with_batch(job, images)
    result = record_of_worker(tried, steps.command(), limits)
    outcome = "fits" if result.ok else f"{result.status.replace('_', ' ')} ({result.reason})"
    say(f"{job.cell.title}, batch {batch_size}, tried with {tried.cell.batch_size} images: {outcome}")
    if not result.ok and result.status not in (record.OUT_OF_MEMORY, record.TIMED_OUT):
        raise BcdlError(f"{job.cell.title}, batch {batch_size}: {result.status}: {result.reason}")
    return result.ok


def runs(job: Job, batch_size: int, limits: Limits) -> bool:
    """As `fits`; a batch that fails for another reason, as of kernels that count no further, is too large as well."""
    try:
        return fits(job, batch_size, limits)
    except BcdlError as error:
        say(f"{error}: it counts as too large")
        return False


def with_batch(job: Job, batch_size: int) -> Job:
    """The job with another batch, and windows of as many images as its own have, or of one step."""
    cell = job.cell
    steps = max(1, cell.window_steps * cell.batch_size // batch_size)
    return dataclasses.replace(job, cell=dataclasses.replace(cell, batch_size=batch_size, window_steps=steps))


def _timed(job: Job, name: str, limits: Limits) -> Way:
    return lambda: {name: rate_in_worker(job, steps.command(), name, limits)}


EXPERIMENT = InWorkers(name="The largest batch that fits", ways=ways, searches=True, add_options=add_limit_options)
