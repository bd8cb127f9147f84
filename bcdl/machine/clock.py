"""The only clock that measures, and the clocks that show what may have disturbed what it measured."""

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


def processor_s() -> float:
    """Processor time of all threads of this process, seconds."""
    return time.process_time()


def asleep_s() -> float | None:
    """Seconds for which the machine has been suspended since it started; None if the system does not say."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def jump() -> Callable[[], float]:
    """Watch the time of day; each call of what is returned gives the seconds by which it was set forward since.

    They are negative if it was set back. If the system does not say how long it was suspended, that counts, too.
    """
    elapsed, of_day, asleep = stopwatch(), time.time(), asleep_s() or 0.0
    return lambda: time.time() - of_day - elapsed() - ((asleep_s() or 0.0) - asleep)
