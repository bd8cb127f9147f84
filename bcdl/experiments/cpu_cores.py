"""What more CPU cores give: `python -m benchmarks.experiment_threads --backend jax`.

Workers of the same cell in turn, each held to some of the cores before it starts, so that every framework sizes its own
pools of threads by what it finds. Their step rates are compared. Needs a system that can do that (Linux).
"""

from __future__ import annotations

import psutil

from bcdl.errors import UsageError, run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way
from bcdl.experiments.workers import steps
from bcdl.settings.job import Job

NAME = "CPU cores"


def main() -> int:
    if not hasattr(psutil.Process, "cpu_affinity"):
        raise UsageError("this system can't hold a process to some of its cores; run this on Linux")
    return engine.main_of_workers(__doc__ or "", "experiment_threads", NAME, _ways, searches=True)


def _ways(job: Job) -> dict[str, Way]:
    cores = psutil.Process().cpu_affinity()
    counts = sorted({len(cores), *(2**power for power in range(len(cores).bit_length()))}, reverse=True)
    return {_name(count): _worker(job, cores, count) for count in counts if count <= len(cores)}


def _name(count: int) -> str:
    return f"{count} cores" if count > 1 else "1 core"


def _worker(job: Job, cores: list[int], count: int) -> Way:
    def way() -> dict[str, float]:
        psutil.Process().cpu_affinity(cores[:count])  # the worker inherits it
        try:
            return {_name(count): engine.step_rate(job, steps.command(), _name(count))}
        finally:
            psutil.Process().cpu_affinity(cores)

    return way


if __name__ == "__main__":
    run_command(main)
