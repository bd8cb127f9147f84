"""What a batch callback costs, and what it does to the figure that it measures.

Other harnesses time training by a Keras callback with `on_train_batch_begin` and `on_train_batch_end`. Keras hands such
a callback each batch's logs, and must wait for the device to have them. So the same `fit` is run in turn without any
callback and with such a one, by the same compiled function in one process. The rate of the plain epoch, timed from its
beginning to its end, is compared with two others: the rate of the epoch with the callback, and the rate by the
callback's own times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bcdl.experiments.engine.definition import InProcess, Way

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell


def ways(cell: TrainingCell) -> dict[str, Way]:
    cell = cell.with_long_epochs()
    return {"no callback": lambda: _plain(cell), "with callback": lambda: _with_callback(cell)}


def _plain(cell: TrainingCell) -> dict[str, float]:
    return {"no callback": cell.images / cell.epoch_s()}


def _with_callback(cell: TrainingCell) -> dict[str, float]:
    from bcdl.worker.clocks import BatchTimer  # here: it imports Keras

    timer = BatchTimer()
    seconds = cell.epoch_s(timer)
    return {"with callback": cell.images / seconds, "told by callback": cell.images / timer.seconds}


EXPERIMENT = InProcess(name="What a batch callback costs", ways=ways)
