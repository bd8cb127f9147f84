"""The largest batch that fits: `python -m benchmarks.experiment_largest --backend jax --memory-limit 4GiB`.

Each try is a worker held to `--memory-limit` (and to the device's own memory) and to `--cell-timeout`, so that running
out of either ends the worker alone. It runs all that is timed later, with a twentieth to spare, since the same steps
may take more memory another time. From the cell's own batch on, sizes double until one does not fit, then the gap is
halved, in `MOST_TRIES` tries at most. The largest that was seen to fit is then timed in turn with the cell's own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from bcdl.errors import BcdlError, run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way
from bcdl.experiments.workers import steps
from bcdl.records import record
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits, add_limit_options, resolve_limits

NAME = "The largest batch that fits"
MOST_TRIES = 14
# What a try leaves to spare: of the limit, and of the device's memory by images more.
_SPARE = 1 / 20
# Sizes are told apart up to this share: half a try more is not worth an eighth of a batch.
_CLOSE = 1 / 8


def main() -> int:
    parser = engine.parser(__doc__ or "", "experiment_largest")
    add_limit_options(parser.add_argument)
    arguments = parser.parse_args()
    limits = resolve_limits(vars(arguments))
    return engine.run_workers(arguments, lambda job: _ways(job, limits), NAME, searches=True)


def _ways(job: Job, limits: Limits) -> dict[str, Way]:
    own = job.cell.batch_size
    size = largest(own, lambda batch: _fits(job, batch, limits))
    named = {f"batch {own}": own, f"batch {size}, the largest found in {_room(job, limits)}": size}
    return {name: _timed(_of(job, batch), name, limits) for name, batch in named.items()}


def _room(job: Job, limits: Limits) -> str:
    """What a batch had to fit into, in words."""
    host = f"{(limits.memory_bytes or 0) / 2**30:.1f} GiB"
    device = "" if job.cell.device == "cpu" else f"the {job.cell.device}'s memory and "
    return f"{device}{host} and {limits.seconds:g} s"


def largest(start: int, fits: Callable[[int], bool]) -> int:
    """The largest size that was seen to fit, from `start` on, which must; BcdlError where it does not."""
    if not fits(start):
        raise BcdlError(f"not even batch {start} fits; use a smaller --batch-size or --image-size")
    known, too_large = start, None
    for _ in range(MOST_TRIES - 1):
        if too_large is not None and too_large - known <= max(1, _CLOSE * known):
            break
        tried = 2 * known if too_large is None else (known + too_large) // 2
        if fits(tried):
            known = tried
        else:
            too_large = tried
    return known


def _fits(job: Job, batch_size: int, limits: Limits) -> bool:
    """Whether steps of such a batch fit well into memory and time; BcdlError where the worker ends in another way."""
    if limits.memory_bytes:
        limits = dataclasses.replace(limits, memory_bytes=int((1 - _SPARE) * limits.memory_bytes))
    tried = _of(job, batch_size + math.ceil(_SPARE * batch_size))
    found = engine.run_worker(tried, steps.command(), limits)
    outcome = "fits" if found.ok else found.status.replace("_", " ")
    print(f"{job.cell.title}, batch {batch_size}, tried with {tried.cell.batch_size} images: {outcome}")
    if not found.ok and found.status not in (record.OUT_OF_MEMORY, record.TIMED_OUT):
        raise BcdlError(f"{job.cell.title}, batch {batch_size}: {found.status}: {found.reason}")
    return found.ok


def _of(job: Job, batch_size: int) -> Job:
    """The job with another batch, and windows of as many images as its own have, or of one step."""
    cell = job.cell
    steps = max(1, cell.window_steps * cell.batch_size // batch_size)
    return dataclasses.replace(job, cell=dataclasses.replace(cell, batch_size=batch_size, window_steps=steps))


def _timed(job: Job, name: str, limits: Limits) -> Way:
    return lambda: {name: engine.step_rate(job, steps.command(), name, limits)}


if __name__ == "__main__":
    run_command(main)
