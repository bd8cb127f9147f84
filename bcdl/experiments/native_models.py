"""What Keras costs beside the framework itself: `python -m benchmarks.experiment_tax --backend torch`.

The Keras model and the native ones (`backends/<name>/native.py`) start from the same weights, are checked to compute
the same outputs, and take training steps (forward, backward, SGD with momentum) in turn on one batch that is on the
device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bcdl import backends
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way

if TYPE_CHECKING:
    from bcdl.worker.prepared import Prepared

NAME = "What Keras costs beside the framework itself"
LEARNING_RATE, MOMENTUM = 1e-3, 0.9
# Largest difference of an output, a share in 0..1, that rounding makes in each precision; a wrong layer makes far more.
_TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "mixed_bfloat16": 5e-2}
_WINDOW_S = 0.5


def main() -> int:
    return engine.main(__doc__ or "", "experiment_tax", NAME, _ways, models="resnet50,mobilenet")


def _ways(prepared: Prepared) -> dict[str, Way]:
    from bcdl.worker import fitting, network, training

    cell, model, adapter = prepared.cell, prepared.model, prepared.adapter
    settings: dict[str, Any] = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "precision": cell.precision}
    natives = adapter.native_models(cell.model, network.named_weights(model), **settings)
    if not natives:
        raise UsageError(f"there is no native model of {cell.model} on {cell.backend}")
    images, labels = adapter.put(*prepared.pipeline.batch(0, 0))
    wanted = fitting.outputs(model, adapter, prepared.pipeline.batch(0, 0)[0], cell.batch_size)
    for way, native in natives.items():
        _check(way, wanted, native.outputs(images), _TOLERANCE[cell.precision])
    training.compile_plainly(model, LEARNING_RATE, MOMENTUM)

    def keras_way() -> dict[str, float]:
        with adapter.training(model, images, labels) as step:
            return {"Keras": engine.rate(adapter, step, _WINDOW_S, cell.batch_size)}

    def native_way(name: str, native: backends.NativeModel) -> Way:
        return lambda: {name: engine.rate(adapter, lambda: native.step(images, labels), _WINDOW_S, cell.batch_size)}

    return {"Keras": keras_way, **{name: native_way(name, native) for name, native in natives.items()}}


def _check(way: str, wanted: np.ndarray, given: np.ndarray, tolerance: float) -> None:
    farthest = float(np.max(np.abs(wanted - given)))
    if not farthest <= tolerance:
        raise BcdlError(
            f"the native model ({way}) does not compute what the Keras model does: outputs differ by {farthest:.2g}"
        )


if __name__ == "__main__":
    run_command(main)
