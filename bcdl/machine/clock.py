"""The only clock that measures."""

from __future__ import annotations

import time
from collections.abc import Callable


def now_s() -> float:
    """The clock's reading, seconds; only the difference of two readings means something, also between processes."""
    return time.perf_counter()


def stopwatch() -> Callable[[], float]:
    """Start a stopwatch; each call of what is returned gives the seconds since."""
    start = now_s()
    return lambda: now_s() - start
