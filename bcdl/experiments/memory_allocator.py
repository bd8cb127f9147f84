"""What a C library gives that keeps the memory of a step for the next one.

A step of training takes large blocks of memory and frees them. glibc hands each back to the system at once, which
clears every page before the next step has it again: on virtual machines that can be a large part of a step. Variables
that glibc reads (mallopt(3)) have it keep what was freed. Workers with them and without run the same steps in turn;
what they compute is the same, to the bit. This needs glibc (Linux), and none of these variables set before.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
from collections.abc import Iterator, Mapping

from bcdl.errors import UsageError
from bcdl.experiments.engine.definition import InWorkers, Way
from bcdl.experiments.engine.rates import rate_in_worker
from bcdl.experiments.workers import steps
from bcdl.settings.job import Job

# No block has a mapping of its own, hardly any memory at the end of the heap is given back, and threads share one heap.
KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**26),
    "MALLOC_ARENA_MAX": "1",
}


def ways(job: Job, arguments: argparse.Namespace) -> dict[str, Way]:
    if platform.libc_ver()[0] != "glibc":
        raise UsageError(
            "this system's C library is not glibc, whose variables this experiment sets; run it on such a one"
        )
    if taken := [name for name in KEPT if name in os.environ]:
        raise UsageError(f"{taken[0]} is set already, so that no way would be as glibc has it; unset it first")
    return {name: _worker(job, name, values) for name, values in {"as it is": {}, "memory kept": KEPT}.items()}


def _worker(job: Job, name: str, variables: Mapping[str, str]) -> Way:
    def way() -> dict[str, float]:
        with _set(variables):
            return {name: rate_in_worker(job, steps.command(), name)}

    return way


@contextlib.contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """In this block they are set, for the processes that are started."""
    os.environ |= variables
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


EXPERIMENT = InWorkers(name="The memory allocator", ways=ways, searches=True)
