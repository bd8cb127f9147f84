"""What the harness costs an epoch: `python -m benchmarks.experiment_overhead --backend jax`.

The same `fit` of one epoch is timed in turn bare, by a clock around it, and as the harness runs it, by the same clock:
with its callback of epochs, less the time of the validation, which a bare `fit` has not.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way
from bcdl.worker import timing

if TYPE_CHECKING:
    from bcdl.worker.prepared import Prepared

NAME = "What the harness costs an epoch"


def main() -> int:
    return engine.main(__doc__ or "", "experiment_overhead", NAME, _ways)


def _ways(prepared: Prepared) -> dict[str, Way]:
    prepared = engine.with_long_epochs(prepared)
    return {"bare fit": lambda: _bare(prepared), "under the harness": lambda: _under_the_harness(prepared)}


def _bare(prepared: Prepared) -> dict[str, float]:
    seconds = timing.seconds_of(lambda: engine.fit(prepared))
    return {"bare fit": prepared.images_per_epoch / seconds}


def _under_the_harness(prepared: Prepared) -> dict[str, float]:
    from bcdl.worker import fitting

    # The last epoch is kept: to put the best one's weights back is no part of an epoch.
    cell = dataclasses.replace(prepared.cell, epochs=1, keep="last")
    one_epoch = dataclasses.replace(prepared, job=dataclasses.replace(prepared.job, cell=cell))
    elapsed = timing.stopwatch()
    fit = fitting.fit(one_epoch, _silent)
    return {"under the harness": prepared.images_per_epoch / (elapsed() - fit.validation_s)}


def _silent(phase: str) -> None:
    """Report nothing."""


if __name__ == "__main__":
    run_command(main)
