"""What the harness costs an epoch.

The same `fit` of one epoch is timed in two ways in turn, by one clock around it: bare, and as the harness runs it, with
its callback of epochs and without the time of the validation, which a bare `fit` does not have.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bcdl.experiments.engine.definition import InProcess, Way
from bcdl.worker import timing
from bcdl.worker.phases import Phases

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell
    from bcdl.worker.prepared import Prepared


def ways(cell: TrainingCell) -> dict[str, Way]:
    cell = cell.with_long_epochs()
    return {"bare fit": lambda: _bare(cell), "under the harness": lambda: _under_the_harness(cell)}


def _bare(cell: TrainingCell) -> dict[str, float]:
    return {"bare fit": cell.images / timing.seconds_of(lambda: cell.fit())}


def _under_the_harness(cell: TrainingCell) -> dict[str, float]:
    from bcdl.worker import fitting  # here: it imports Keras

    prepared, phases = _for_one_epoch(cell.prepared), Phases()
    phases.begin("training")
    fitting.fit(prepared, phases)
    return {"under the harness": cell.images / phases.seconds["training"]}


def _for_one_epoch(prepared: Prepared) -> Prepared:
    """The same for one epoch that keeps the last weights: to restore the best ones is no part of an epoch."""
    cell = dataclasses.replace(prepared.cell, epochs=1, keep="last")
    return dataclasses.replace(prepared, job=dataclasses.replace(prepared.job, cell=cell))


EXPERIMENT = InProcess(name="What the harness costs an epoch", ways=ways)
