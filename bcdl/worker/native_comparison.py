"""The Keras side of a comparison with native models: weights by name, and a training step equal to theirs."""

from __future__ import annotations

import keras
import numpy as np


def weights_by_name(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight of the model, [...] float32, by `<layer>/<variable>`; random states left out."""
    return {short_path(variable.path): np.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights}


def short_path(path: str) -> str:
    """The last two parts of a variable's path: its layer and its own name."""
    return "/".join(path.split("/")[-2:])


def compile_alike(model: keras.Model, learning_rate: float, momentum: float) -> None:
    """Compile the model as native models train: SGD with momentum, binary cross-entropy, and no metrics."""
    model.compile(optimizer=keras.optimizers.SGD(learning_rate, momentum=momentum), loss="binary_crossentropy")
    model.optimizer.build(model.trainable_variables)  # fit would; a stateless optimizer can't
    model.make_train_function()
