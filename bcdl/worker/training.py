"""The loss that training minimises, the weights of the classes, the optimizer and its learning rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bcdl.datasets import LABELS
from bcdl.settings.cell import MOMENTUM, Cell

# The head, drawn at random, learns at so many times the rate of a pretrained backbone.
_HEAD_RATE = 10
# By the value of the setting, from the learning rate.
_OPTIMIZERS: dict[str, Callable[[float], keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=MOMENTUM),
}


@keras.saving.register_keras_serializable(package="bcdl")
class BalancedCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of both outputs, each image weighted by its class: `weights` are (benign, malignant)."""

    def __init__(self, weights: list[float], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.weights = weights

    def call(self, wanted: Any, given: Any) -> Any:
        """The loss [B], nats, of one-hot labels and outputs [B, 2]."""
        each = keras.losses.binary_crossentropy(wanted, given)
        weights = keras.ops.convert_to_tensor(self.weights, each.dtype)
        return each * keras.ops.sum(keras.ops.cast(wanted, each.dtype) * weights, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weights": self.weights}


def class_weights(labels: np.ndarray) -> list[float]:
    """N / (2 N_c) for each class c of labels [N]: so weighted, both classes count the same, and the mean weight is 1.

    King and Zeng 2001, Political Analysis 9(2), 137-163, as scikit-learn's `balanced`.
    """
    counts = np.bincount(labels, minlength=len(LABELS))
    return [float(len(labels) / (len(LABELS) * count)) for count in counts]


def head_rate(cell: Cell) -> float:
    """The learning rate at which the head is trained alone."""
    return _HEAD_RATE * cell.learning_rate


def compile_model(model: keras.Model, cell: Cell, weights: list[float] | None, rate: float) -> None:
    """Compile for the cell's loss and optimizer at a learning rate; `weights` of classes are None for equal ones."""
    loss = BalancedCrossentropy(weights) if weights else "binary_crossentropy"
    # What Keras resolves `accuracy` to, but made now: inside the first step its variables would have TensorFlow trace
    # that step twice.
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model.compile(optimizer=_OPTIMIZERS[cell.optimizer](rate), loss=loss, metrics=[accuracy])


def compile_plainly(model: keras.Model, rate: float, momentum: float) -> None:
    """Compile a model for SGD with momentum and equal classes, no metrics: what a native model trains by.

    The optimizer's state and the training function are made here, as `fit` would.
    """
    model.compile(optimizer=keras.optimizers.SGD(rate, momentum=momentum), loss="binary_crossentropy")
    model.optimizer.build(model.trainable_variables)
    model.make_train_function()
