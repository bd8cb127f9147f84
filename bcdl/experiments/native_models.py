"""What Keras costs beside the framework itself.

The Keras model and the native models equal to it (`backends/<name>/native.py`) start from the same weights, are checked
to compute the same outputs, and take training steps (forward, backward, SGD with momentum) in turn on one batch that is
on the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bcdl.errors import BcdlError, UsageError
from bcdl.experiments.engine.definition import InProcess, Way
from bcdl.experiments.engine.rates import rate

if TYPE_CHECKING:
    from bcdl.backends import NativeModel
    from bcdl.experiments.engine.training_cell import TrainingCell

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
# The largest difference of an output, which lies in 0..1, that rounding may make; a wrong layer makes far more.
_TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "mixed_bfloat16": 5e-2}
_WINDOW_S = 0.5


def ways(cell: TrainingCell) -> dict[str, Way]:
    from bcdl.worker import fitting, network, training  # here: they import Keras

    settings, model, adapter = cell.cell, cell.prepared.model, cell.adapter
    weights = network.named_weights(model)
    natives = adapter.native_models(settings.model, weights, LEARNING_RATE, MOMENTUM, settings.precision)
    if not natives:
        raise UsageError(f"there is no native model equal to {settings.model} on {settings.backend}")
    batch = cell.prepared.pipeline.batch(0, 0)
    images, labels = adapter.put(*batch)
    wanted = fitting.outputs(model, adapter, batch[0], settings.batch_size)
    for way, native in natives.items():
        check(way, wanted, native.outputs(images), _TOLERANCE[settings.precision])
    training.compile_plainly(model, LEARNING_RATE, MOMENTUM)
    return {
        "Keras": _keras(cell, images, labels),
        **{way: _native(way, native, cell, images, labels) for way, native in natives.items()},
    }


def check(way: str, wanted: np.ndarray, given: np.ndarray, tolerance: float) -> None:
    """BcdlError if the outputs [B, 2] of a native model differ from those wanted by more than the tolerance."""
    farthest = float(np.max(np.abs(wanted - given)))
    if not farthest <= tolerance:
        raise BcdlError(
            f"the native model ({way}) does not compute what the Keras model does: outputs differ by {farthest:.2g}"
        )


def _keras(cell: TrainingCell, images: Any, labels: Any) -> Way:
    def way() -> dict[str, float]:
        with cell.adapter.training(cell.prepared.model, images, labels) as step:
            return {"Keras": rate(step, cell.adapter.sync, _WINDOW_S, cell.cell.batch_size)}

    return way


def _native(way: str, native: NativeModel, cell: TrainingCell, images: Any, labels: Any) -> Way:
    sync, batch_size = cell.adapter.sync, cell.cell.batch_size
    return lambda: {way: rate(lambda: native.step(images, labels), sync, _WINDOW_S, batch_size)}


EXPERIMENT = InProcess(name="What Keras costs beside the framework itself", ways=ways, models="resnet50,mobilenet")
