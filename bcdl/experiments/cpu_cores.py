"""What more CPU cores give.

Workers of the same cell in turn, each restricted to some of the cores before it starts, so that every framework sizes
its own pools of threads by the cores that it sees. Their step rates are compared. This needs a system that can restrict
a process to cores (Linux).
"""

from __future__ import annotations

import argparse

import psutil

from bcdl.errors import UsageError
from bcdl.experiments.engine.definition import InWorkers, Way
from bcdl.experiments.engine.rates import rate_in_worker
from bcdl.experiments.workers import steps
from bcdl.settings.job import Job


def ways(job: Job, arguments: argparse.Namespace) -> dict[str, Way]:
    if not hasattr(psutil.Process, "cpu_affinity"):
        raise UsageError("this system can't restrict a process to some of its cores; run this on Linux")
    cores = psutil.Process().cpu_affinity()
    counts = sorted({len(cores), *(2**power for power in range(len(cores).bit_length()))}, reverse=True)
    return {_name(count): _worker(job, cores, count) for count in counts if count <= len(cores)}


def _name(count: int) -> str:
    return f"{count} cores" if count > 1 else "1 core"


def _worker(job: Job, cores: list[int], count: int) -> Way:
    def way() -> dict[str, float]:
        psutil.Process().cpu_affinity(cores[:count])  # the worker inherits it
        try:
            return {_name(count): rate_in_worker(job, steps.command(), _name(count))}
        finally:
            psutil.Process().cpu_affinity(cores)

    return way


EXPERIMENT = InWorkers(name="CPU cores", ways=ways, searches=True)
