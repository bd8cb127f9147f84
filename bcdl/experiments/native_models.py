"""What Keras costs beside the framework itself: `python -m benchmarks.experiment_tax --backend torch`.

The Keras model and its twins (`backends/<name>/twins.py`) start from the same weights, are checked to compute the same
outputs, and take training steps (forward, backward, SGD with momentum) in turn on one batch that is on the device.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Prepared, Way

NAME = "What Keras costs beside the framework itself"
LEARNING_RATE, MOMENTUM = 1e-3, 0.9
# Largest difference of an output, a share in 0..1, that rounding makes in each precision; a wrong layer makes far more.
_TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "mixed_bfloat16": 5e-2}
_WINDOW_S = 0.5


def main() -> int:
    return engine.main(__doc__ or "", "experiment_tax", NAME, _ways, models="resnet50,mobilenet")


def _ways(prepared: Prepared) -> dict[str, Way]:
    keras = importlib.import_module("keras")
    cell, model, adapter = prepared.cell, prepared.model, prepared.adapter
    settings: dict[str, Any] = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "precision": cell.precision}
    twins = adapter.twins(cell.model, weights_of(model), **settings)
    if not twins:
        raise UsageError(f"there is no native twin of {cell.model} on {cell.backend}")
    images, labels = adapter.put(*prepared.feed.batch(0, 0))
    wanted = prepared.regimes.training.outputs(model, adapter, prepared.feed.batch(0, 0)[0], cell.batch_size)
    for way, twin in twins.items():
        _check(way, wanted, twin.outputs(images), _TOLERANCE[cell.precision])
    model.compile(optimizer=keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM), loss="binary_crossentropy")
    model.optimizer.build(model.trainable_variables)  # fit would; a stateless optimizer can't
    model.make_train_function()

    def keras_way() -> dict[str, float]:
        with adapter.training(model, images, labels) as step:
            return {"Keras": prepared.rate(step, _WINDOW_S, cell.batch_size)}

    def native_way(name: str, twin: Any) -> Way:
        return lambda: {name: prepared.rate(lambda: twin.step(images, labels), _WINDOW_S, cell.batch_size)}

    return {"Keras": keras_way, **{name: native_way(name, twin) for name, twin in twins.items()}}


def weights_of(model: Any) -> dict[str, np.ndarray]:
    """Every weight of a Keras model, [...] float32, by `<layer>/<variable>`; random states left out."""
    keras = importlib.import_module("keras")
    return {short(variable.path): np.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights}


def short(path: str) -> str:
    """The last two parts of a variable's path: its layer and its own name."""
    return "/".join(path.split("/")[-2:])


def _check(way: str, wanted: np.ndarray, given: np.ndarray, tolerance: float) -> None:
    farthest = float(np.max(np.abs(wanted - given)))
    if not farthest <= tolerance:
        raise BcdlError(
            f"the twin ({way}) does not compute what the Keras model does: outputs differ by {farthest:.2g}"
        )


if __name__ == "__main__":
    run_command(main)
