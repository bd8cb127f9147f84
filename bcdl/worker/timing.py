"""The only clock: what is timed, between which two moments, and what is waited for at each edge."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from bcdl.statistics.steadiness import is_steady

# A regime is timed for this long at least, or for so many windows: a single short window is all noise.
LEAST_S = 2.0


MOST_WINDOWS = 200


# Windows run, in units of those kept, before a regime is given up as one that never settles.
_PATIENCE = 4


@dataclasses.dataclass(frozen=True)
class Timed:
    """Windows of one regime, seconds each: those of the warm-up, and those kept."""

    warm_up: list[float]
    kept: list[float]

    @property
    def count(self) -> int:
        return len(self.warm_up) + len(self.kept)


@contextlib.contextmanager
def timed(into: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds the block takes to `into[name]`."""
    start = time.perf_counter()
    yield
    into[name] = time.perf_counter() - start


def windows(count: int, steps: int, step: Callable[[], Any], sync: Callable[[Any], None]) -> Timed:
    """Time windows of `steps` calls of `step` until they are steady; the device is idle at both edges of each.

    `step` starts its work and returns what `sync` is to wait for. The windows kept are the last ones: `count` or
    more, of `LEAST_S` together or `MOST_WINDOWS`. Whatever ran before them is warm-up, the first window always.
    Windows are added until those kept are steady, or until `_PATIENCE` times as many have run: then they are kept
    as they are, and `is_steady` says so of them.
    """
    seconds = [_window(steps, step, sync)]
    while True:
        seconds.append(_window(steps, step, sync))
        kept = _last(seconds[1:], count)
        if kept and (is_steady(kept) is not False or len(seconds) > _PATIENCE * len(kept)):
            return Timed(seconds[: -len(kept)], kept)


def _last(seconds: list[float], count: int) -> list[float]:
    """As few of the last samples as are enough; none where all are too few."""
    total = 0.0
    for number, one in enumerate(reversed(seconds), start=1):
        total += one
        if number >= count and (total >= LEAST_S or number >= MOST_WINDOWS):
            return seconds[-number:]
    return []


def _window(steps: int, step: Callable[[], Any], sync: Callable[[Any], None]) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        last = step()
    sync(last)
    return time.perf_counter() - start


def rate(images: int, seconds: list[float]) -> float:
    """Median images/s of samples that each took `seconds` for `images` images."""
    return images / statistics.median(seconds)
