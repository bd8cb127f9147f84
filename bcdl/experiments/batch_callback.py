"""What a batch callback does to the figure it measures: `python -m benchmarks.experiment_callback --backend jax`.

Peers time training by a Keras callback with `on_train_batch_begin` and `on_train_batch_end`. Keras hands such a
callback each batch's logs, and must wait for the device to have them. So the same `fit` is run in turn without any
callback and with such a one, by the same compiled function in one process, and two rates are compared with that of
the plain epoch, timed by its beginning and end: of the epoch with the callback, and that which the callback tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way

if TYPE_CHECKING:
    from bcdl.worker.prepared import Prepared

NAME = "A batch callback changes what it measures"


def main() -> int:
    return engine.main(__doc__ or "", "experiment_callback", NAME, _ways)


def _ways(prepared: Prepared) -> dict[str, Way]:
    prepared = engine.with_long_epochs(prepared)
    return {"no callback": lambda: _plain(prepared), "with callback": lambda: _with_callback(prepared)}


def _plain(prepared: Prepared) -> dict[str, float]:
    return {"no callback": prepared.images_per_epoch / engine.epoch_s(prepared)}


def _with_callback(prepared: Prepared) -> dict[str, float]:
    from bcdl.worker.clocks import BatchTimer

    timer, images = BatchTimer(), prepared.images_per_epoch
    return {"with callback": images / engine.epoch_s(prepared, timer), "told by callback": images / timer.seconds}


if __name__ == "__main__":
    run_command(main)
