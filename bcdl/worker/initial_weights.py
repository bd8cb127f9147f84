"""Initial weights drawn by NumPy, so that every backend starts from the same numbers.

Keras's initializers draw from the framework's random generator: one seed gives other weights on each
backend. Here each layer's own initializer is read and its distribution drawn in float64 from NumPy,
then rounded to float32, whatever the variable's dtype.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np

from bcdl.errors import BcdlError

# Standard deviation of a unit normal cut at two standard deviations; Keras divides by it, so that the
# truncated draw has the variance asked for (keras.initializers.VarianceScaling).
_TRUNCATED_STD = 0.87962566103423978

# The initializer of a variable is the layer's attribute `<prefix>_initializer`. The prefix is the variable's name,
# except for these.
_PREFIXES = {"depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise"}


def draw_initial_weights(model: keras.Model, seed: int, skip: keras.Model | None = None) -> None:
    """Give every weight of `model` a value drawn from `seed` after its layer's own initializer.

    Args:
        model: a built model; its weights are replaced.
        seed: seed of the draws; each variable has a random stream of its own, by its place in the model.
        skip: a part of it that keeps its values: a backbone with loaded weights.

    Raises:
        BcdlError: a layer has an initializer this module does not know.
    """
    for place, (layer, variable) in enumerate(_variables(model, skip)):
        generator = np.random.default_rng([seed, place])
        drawn = _draw(_initializer(layer, variable), tuple(variable.shape), generator)
        variable.assign(drawn.astype(np.float32))


@contextlib.contextmanager
def draws_left_out() -> Iterator[None]:
    """In this block Keras starts weights at 0 instead of drawing them: they are drawn, or loaded, afterwards.

    On JAX each of Keras's draws compiles a function for its shape, which takes longer than all else of a build.
    """

    def zeros(self: Any, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return keras.ops.convert_to_tensor(np.zeros(shape), dtype)

    with mock.patch.object(keras.initializers.VarianceScaling, "__call__", zeros):
        yield


def _variables(layer: Any, skip: keras.Model | None) -> Iterator[tuple[Any, Any]]:
    """Each weight with the layer that owns it, in the model's order; those of the layer `skip` left out."""
    if layer is skip:
        return
    if isinstance(layer, keras.Model):
        for part in layer.layers:
            yield from _variables(part, skip)
    else:
        for variable in layer.weights:
            yield layer, variable


def _initializer(layer: Any, variable: Any) -> Any:
    prefix = _PREFIXES.get(variable.name, variable.name)
    if isinstance(layer, keras.layers.DepthwiseConv2D) and prefix == "kernel":
        prefix = "depthwise"
    initializer = getattr(layer, f"{prefix}_initializer", None)
    if initializer is None:
        raise BcdlError(
            f"no initializer is known for {variable.path} of a {type(layer).__name__}: add it to {__name__}"
        )
    return initializer


def _draw(initializer: Any, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if isinstance(initializer, keras.initializers.Zeros):
        return np.zeros(shape)
    if isinstance(initializer, keras.initializers.Ones):
        return np.ones(shape)
    if isinstance(initializer, keras.initializers.VarianceScaling):
        return _variance_scaling(initializer, shape, generator)
    raise BcdlError(f"initializer {type(initializer).__name__} has no NumPy draw yet: add it to {__name__}")


def _variance_scaling(initializer: Any, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """He et al. 2015 (arXiv 1502.01852) and Glorot and Bengio 2010 (PMLR 9), as Keras scales them."""
    fan_in, fan_out = _fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[initializer.mode]
    variance = initializer.scale / max(1.0, fan)
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return generator.uniform(-limit, limit, shape)
    if initializer.distribution == "truncated_normal":
        return _truncated_normal(shape, generator) * math.sqrt(variance) / _TRUNCATED_STD
    return generator.standard_normal(shape) * math.sqrt(variance)


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """The numbers of inputs and of outputs that a unit is connected to; kernels are [*window, in, out]."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    window = math.prod(shape[:-2])
    return float(shape[-2] * window), float(shape[-1] * window)


def _truncated_normal(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Draws of a unit normal, float64, those beyond two standard deviations drawn again."""
    values = generator.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = generator.standard_normal(int(outside.sum()))
    return values
