"""Which batch size gives the most images a second: `python -m benchmarks.experiment_batch --backend jax`.

Training steps on a batch that is on the device, for the cell's own batch size and for the powers of two, until memory
runs out or `LARGEST` is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way
from bcdl.worker.input_pipeline import one_hot

if TYPE_CHECKING:
    from bcdl.worker.prepared import Prepared

NAME = "Batch size"
LARGEST = 1024
_WINDOW_S = 1.0
# A batch whose step takes longer is not tried twice as large: on a CPU nothing is gained, and hours are lost.
_SLOWEST_STEP_S = 4.0


def main() -> int:
    return engine.main(__doc__ or "", "experiment_batch", NAME, _ways, searches=True)


def _ways(prepared: Prepared) -> dict[str, Way]:
    own = prepared.cell.batch_size
    ways = {_name(own): _steps(prepared, own)}
    size = 1
    while size <= LARGEST:
        try:
            way = _steps(prepared, size)
            way()  # compiles
            (rate,) = way().values()
        except Exception as error:
            if not prepared.adapter.is_out_of_memory(error):
                raise
            print(f"memory ran out at batch {size} on {prepared.cell.backend}")
            break
        ways[_name(size)] = way
        if size / rate > _SLOWEST_STEP_S:
            print(
                f"a step of batch {size} takes {size / rate:.1f} s on {prepared.cell.backend}: no larger one is tried"
            )
            break
        size *= 2
    return ways


def _name(size: int) -> str:
    return f"batch {size}"


def _steps(prepared: Prepared, size: int) -> Way:
    """Rates of steps on `size` training images, repeated where there are fewer."""
    train = prepared.dataset.train
    chosen = np.arange(size) % len(train)
    images, labels = prepared.adapter.put(train.images[chosen], one_hot(train.labels[chosen]))

    def way() -> dict[str, float]:
        with prepared.adapter.training(prepared.model, images, labels) as step:
            return {_name(size): engine.rate(prepared.adapter, step, _WINDOW_S, size)}

    return way


if __name__ == "__main__":
    run_command(main)
