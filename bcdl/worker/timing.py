"""What is timed: from when to when, and what is waited for at each edge."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from bcdl.machine.clock import stopwatch
from bcdl.statistics.steadiness import SPREAD, TREND, fault

# A regime is timed for this long at least, or for so many windows: a single short window is all noise.
LEAST_S = 2.0
MOST_WINDOWS = 200
# Windows run, in units of those kept, before a regime is given up as one that never settles. A trend comes to an end; a
# spread seldom does, unless something disturbed the machine for a moment.
_PATIENCE = {TREND: 4, SPREAD: 2}


@dataclasses.dataclass(frozen=True)
class Timed:
    """Windows of one regime, seconds each: those of the warm-up, and those kept."""

    warm_up: list[float]
    kept: list[float]

    @property
    def count(self) -> int:
        return len(self.warm_up) + len(self.kept)


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds that one call of `work` takes."""
    elapsed = stopwatch()
    work()
    return elapsed()


@contextlib.contextmanager
def timed(into: dict[str, float | None], name: str) -> Iterator[None]:
    """Put the seconds that the block takes under `name`; nothing if the block fails."""
    elapsed = stopwatch()
    yield
    into[name] = elapsed()


@dataclasses.dataclass(frozen=True)
class Work:
    """What a regime repeats: windows of `steps` calls of `step`, and one `sync` of what the last of them returned."""

    steps: int
    step: Callable[[], Any]
    sync: Callable[[Any], None]

    def window(self) -> float:
        """Seconds of one window."""
        return window(self.steps, self.step, self.sync)

    def windows(self, count: int, warm: Callable[[], None] = lambda: None) -> Timed:
        """Windows until they are steady, as `windows` has them."""
        return windows(count, self.steps, self.step, self.sync, warm)


def windows(
    count: int,
    steps: int,
    step: Callable[[], Any],
    sync: Callable[[Any], None],
    warm: Callable[[], None] = lambda: None,
) -> Timed:
    """Time windows of `steps` calls of `step` until they are steady; the device is idle at both edges of each.

    `step` starts its work and returns what `sync` is to wait for. The windows kept are the last ones: `count` or
    more, of `LEAST_S` together or `MOST_WINDOWS`. Whatever ran before them is warm-up, the first window always.
    Windows are added until those kept are steady, or until `_PATIENCE` times as many have run: then they are kept
    as they are, and `steadiness.fault` says so of them. `warm` is called once the first window, which may compile, is
    over.
    """
    seconds = [window(steps, step, sync)]
    warm()
    while True:
        seconds.append(window(steps, step, sync))
        kept = _last(seconds[1:], count)
        if kept and len(seconds) > _PATIENCE.get(fault(kept), 0) * len(kept):
            return Timed(seconds[: -len(kept)], kept)


def window(steps: int, step: Callable[[], Any], sync: Callable[[Any], None]) -> float:
    """Seconds of `steps` calls of `step`, one or more, and of one wait for what the last of them started."""
    elapsed = stopwatch()
    for _ in range(steps):
        last = step()
    sync(last)
    return elapsed()


def rate(images: int, seconds: list[float]) -> float:
    """Median images/s of samples that each took `seconds` for `images` images."""
    return images / statistics.median(seconds)


def _last(seconds: list[float], count: int) -> list[float]:
    """The last samples, as few as are enough; none if all of them together are too few."""
    total = 0.0
    for number, sample in enumerate(reversed(seconds), start=1):
        total += sample
        if number >= count and (total >= LEAST_S or number >= MOST_WINDOWS):
            return seconds[-number:]
    return []
