"""What a comparison can find: `python -m benchmarks.experiment_power --backend torch`.

Processes of one cell, in turn, are slowed down by known shares: a busy wait after each training step. Two more are left
as they are, so that equal sides are compared too. `bcdl.sensitivity` turns the rounds into the power of a comparison,
its rate of false alarms, and the noise of equal sides on this machine, by which `bcdl.compare` judges. With `--loop`
the cell's step is a loop of plain Python, whose process starts in a fraction of a second: many more rounds can be had.
"""

from __future__ import annotations

from collections.abc import Callable

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way
from bcdl.experiments.workers import loop, steps
from bcdl.records.experiment import EQUAL_SIDES
from bcdl.settings.job import Job
from bcdl.statistics.power_analysis import NAME, slower_by

LOOP = "a loop of plain Python"
SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)


def main() -> int:
    parser = engine.parser(__doc__ or "", "experiment_power")
    parser.add_argument("--loop", action="store_true", help="a loop of plain Python in place of the cell's step")
    arguments = parser.parse_args()
    worker, subject = (loop, LOOP) if arguments.loop else (steps, "")
    if arguments.loop:
        arguments.models = "cnn"  # which the loop stands in for, whatever its name
    return engine.run_workers(arguments, lambda job: _ways(job, worker.command), NAME, subject)


def _ways(job: Job, command: Callable[[float], tuple[str, ...]]) -> dict[str, Way]:
    """The cell as it is, twice, and slowed down; `command` makes a worker of the share to slow it down by."""
    shares = {**dict.fromkeys(EQUAL_SIDES, 0.0), **{slower_by(share): share for share in SHARES}}
    return {name: _process(job, name, command(share)) for name, share in shares.items()}


def _process(job: Job, name: str, worker: tuple[str, ...]) -> Way:
    return lambda: {name: engine.step_rate(job, worker, name)}


if __name__ == "__main__":
    run_command(main)
