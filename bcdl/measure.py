"""The only clock: what is timed, between which two moments, and what is waited for at each edge."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

MIB = 2**20


@contextlib.contextmanager
def timed(into: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds the block takes to `into[name]`."""
    start = time.perf_counter()
    yield
    into[name] = time.perf_counter() - start


def windows(count: int, steps: int, step: Callable[[], Any], sync: Callable[[Any], None]) -> list[float]:
    """Seconds of each of `count` windows of `steps` calls of `step`; the device is idle at both edges of each.

    `step` starts its work and returns what `sync` is to wait for. One window runs first, untimed.
    """
    return [_window(steps, step, sync) for _ in range(count + 1)][1:]


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
