"""Numbers of processor cores that processes are held to, in turn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil

from bcdl.errors import UsageError


def counts() -> list[int]:
    """All cores that this process is restricted to, then the powers of two below, in descending order.

    UsageError if this system can't restrict a process to some of its cores.
    """
    if not hasattr(psutil.Process, "cpu_affinity"):
        raise UsageError("this system can't restrict a process to some of its cores; run this on Linux")
    allowed = len(psutil.Process().cpu_affinity())
    return sorted({allowed, *(2**power for power in range(allowed.bit_length()))}, reverse=True)


def in_words(count: int) -> str:
    return f"{count} cores" if count > 1 else "1 core"


@contextlib.contextmanager
def held_to(count: int) -> Iterator[None]:
    """In this block the process, and what it starts, runs on the first `count` of its cores alone."""
    cores = psutil.Process().cpu_affinity()
    psutil.Process().cpu_affinity(cores[:count])
    try:
        yield
    finally:
        psutil.Process().cpu_affinity(cores)
