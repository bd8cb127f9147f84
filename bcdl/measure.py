"""The only clock: what is timed, between which two moments, and what is waited for at each edge."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

MIB = 2**20
# A regime is timed for this long at least, or for so many windows: a single short window is all noise.
LEAST_S = 2.0
MOST_WINDOWS = 200
# Samples are steady where the medians of their first and second half differ by this share at most.
STEADY = 0.05
_FEWEST = 4  # samples of which halves say anything
# Of fewer, where the largest is above the least by this share at most.
STEADY_OF_FEW = 0.25
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


def is_steady(seconds: list[float]) -> bool | None:
    """Whether the samples show no trend, or, where they are too few for one, no wide spread; None of fewer than two."""
    if len(seconds) < 2:
        return None
    if len(seconds) < _FEWEST:
        return max(seconds) <= (1 + STEADY_OF_FEW) * min(seconds)
    before, after = halves(seconds)
    return abs(after - before) <= STEADY * min(before, after)


def halves(seconds: list[float]) -> tuple[float, float]:
    """The medians of the first and the second half of the samples."""
    half = len(seconds) // 2
    return statistics.median(seconds[:half]), statistics.median(seconds[-half:])


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


def peak_rss_bytes() -> int:
    """Peak resident memory of this process.

    On Linux `VmHWM`, since `ru_maxrss` inherits the parent's peak across a fork.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    memory = psutil.Process().memory_info()
    if os.name == "nt":
        return int(memory.peak_wset)  # type: ignore[attr-defined]
    import resource  # only on Unix

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def rate(images: int, seconds: list[float]) -> float:
    """Median images/s of samples that each took `seconds` for `images` images."""
    return images / statistics.median(seconds)
