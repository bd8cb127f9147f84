"""What a batch callback does to the figure it measures: `python -m benchmarks.experiment_callback --backend jax`.

Peers time training by a Keras callback with `on_train_batch_begin` and `on_train_batch_end`. Keras hands such a
callback each batch's logs, and must wait for the device to have them. So the same `fit` is run in turn without any
callback and with such a one, by the same compiled function in one process, and two rates are compared with that of
the plain epoch, timed by its beginning and end: of the epoch with the callback, and that which the callback tells.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Prepared, Way

NAME = "A batch callback changes what it measures"


def main() -> int:
    return engine.main(__doc__ or "", "experiment_callback", NAME, _ways)


def _ways(prepared: Prepared) -> dict[str, Way]:
    prepared = prepared.with_long_epochs()
    return {"no callback": lambda: _plain(prepared), "with callback": lambda: _with_callback(prepared)}


def _plain(prepared: Prepared) -> dict[str, float]:
    return {"no callback": prepared.images / prepared.epoch_s([])}


def _with_callback(prepared: Prepared) -> dict[str, float]:
    timer = _naive_timer()
    seconds = prepared.epoch_s([timer])
    return {"with callback": prepared.images / seconds, "told by callback": prepared.images / timer.seconds}


def _naive_timer() -> Any:
    """A batch timer as peers write it: adds up the seconds between a batch's begin and its end."""
    keras = importlib.import_module("keras")

    class Timer(keras.callbacks.Callback):  # type: ignore[name-defined]
        seconds = 0.0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self._start = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seconds += time.perf_counter() - self._start

    return Timer()


if __name__ == "__main__":
    run_command(main)
