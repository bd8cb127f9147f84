"""Which batch size gives the most images a second.

Training steps on a batch that is on the device, for the cell's own batch size and for the powers of two, until memory
runs out or `LARGEST` is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bcdl.experiments.engine.definition import InProcess, Way
from bcdl.experiments.engine.rates import rate
from bcdl.screen import say

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell

LARGEST = 1024
_WINDOW_S = 1.0
# A batch whose step takes longer is not tried twice as large: on a CPU nothing is gained, and hours are lost.
_SLOWEST_STEP_S = 4.0


def ways(cell: TrainingCell) -> dict[str, Way]:
    from bcdl.worker.snapshot import DiskSnapshot  # here: it imports Keras

    own, backend = cell.cell.batch_size, cell.cell.backend
    ways, before = {_name(own): _steps(cell, own)}, DiskSnapshot.of(cell.prepared.model)
    size = 1
    while size <= LARGEST:
        try:
            way = _steps(cell, size)
            way()  # compiles
            (images_per_s,) = way().values()
        except Exception as error:
            if not cell.adapter.is_out_of_memory(error):
                raise
            before.restore()  # the step that failed may have taken the state along
            cell.prepared.model.reset_metrics()
            say(f"memory ran out at batch {size} on {backend}")
            break
        ways[_name(size)] = way
        if (seconds := size / images_per_s) > _SLOWEST_STEP_S:
            say(f"a step of batch {size} takes {seconds:.1f} s on {backend}: no larger batch is tried")
            break
        size *= 2
    return ways


def _name(size: int) -> str:
    return f"batch {size}"


def _steps(cell: TrainingCell, size: int) -> Way:
    """Rates of steps on `size` training images, repeated if there are fewer."""
    from bcdl.worker.input_pipeline import one_hot

    train = cell.prepared.dataset.train
    chosen = np.arange(size) % len(train)
    images, labels = cell.adapter.put(train.images[chosen], one_hot(train.labels[chosen]))

    def way() -> dict[str, float]:
        with cell.adapter.training(cell.prepared.model, images, labels) as step:
            return {_name(size): rate(step, cell.adapter.sync, _WINDOW_S, size)}

    return way


EXPERIMENT = InProcess(name="Batch size", ways=ways, searches=True)
