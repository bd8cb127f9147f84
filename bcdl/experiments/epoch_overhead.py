"""What the harness costs an epoch: `python -m benchmarks.experiment_overhead --backend jax`.

The same `fit` of one epoch is timed in turn bare, by a clock around it, and as the harness runs it, by the same clock:
with its callback of epochs, less the time of the validation, which a bare `fit` has not.
"""

from __future__ import annotations

import dataclasses
import time

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Prepared, Way

NAME = "What the harness costs an epoch"


def main() -> int:
    return engine.main(__doc__ or "", "experiment_overhead", NAME, _ways)


def _ways(prepared: Prepared) -> dict[str, Way]:
    prepared = prepared.with_long_epochs()
    return {"bare fit": lambda: _bare(prepared), "under the harness": lambda: _under_the_harness(prepared)}


def _bare(prepared: Prepared) -> dict[str, float]:
    start = time.perf_counter()
    prepared.fit([])
    return {"bare fit": prepared.images / (time.perf_counter() - start)}


def _under_the_harness(prepared: Prepared) -> dict[str, float]:
    # The last epoch is kept: to put the best one's weights back is no part of an epoch.
    one_epoch = dataclasses.replace(prepared.cell, epochs=1, keep="last")
    start = time.perf_counter()
    fit = prepared.regimes.training.fit(
        prepared.model, prepared.adapter, prepared.feed, prepared.dataset, one_epoch, _silent, verbose=0
    )
    return {"under the harness": prepared.images / (time.perf_counter() - start - fit.validation_s)}


def _silent(phase: str) -> None:
    """Report nothing."""


if __name__ == "__main__":
    run_command(main)
