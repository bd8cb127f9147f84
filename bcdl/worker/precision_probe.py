"""Finds out by rounding which arithmetic a process really uses, in a matrix product and in a convolution.

Frameworks choose their arithmetic by flags of their own, and not the same for both (torch's defaults are TF32 off for
products and on for convolutions), so a flag proves nothing. 1 + 2^-9 survives in float32 and TF32 (a fraction of
10 bits) but is 1 in bfloat16 (7 bits); 1 + 2^-12 survives in float32 alone. Every sum of such terms that is taken here
fits into float32's 24 bits.

A flag also only permits: cuBLAS, cuDNN and XLA take fewer bits if they choose a kernel that does. So the shapes are
those of a real model's layers, and run as its layers do, compiled if the backend compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.errors import BcdlError

_ROWS, _WIDTH = 1024, 1024
_IMAGES, _SIDE, _CHANNELS = 8, 28, 128
# What each precision asks for, and the steps above 1 by which arithmetic is told apart. Both from most to least.
ARITHMETIC = {"float32": "float32", "tf32": "tf32", "mixed_bfloat16": "bfloat16"}
_STEPS = {"float32": 2.0**-12, "tf32": 2.0**-9}
_KINDS = (*_STEPS, "bfloat16")


class PrecisionError(BcdlError):
    """The arithmetic in use is less precise than that which was asked for."""


def arithmetic(adapter: Backend) -> dict[str, str]:
    """By operation (`matmul`, `conv`), the arithmetic of Keras's layers in this process: a value of `ARITHMETIC`."""
    return {name: _kind(adapter, layer, shape) for name, (layer, shape) in _operations().items()}


def judge(precision: str, found: Mapping[str, str]) -> str:
    """What is to be said of the arithmetic that was found: that it is more precise than asked for, or nothing.

    Raises PrecisionError if it is less precise.
    """
    asked = _KINDS.index(ARITHMETIC[precision])
    rank = {name: _KINDS.index(kind) for name, kind in found.items()}
    less = {name: kind for name, kind in found.items() if rank[name] > asked}
    more = {name: kind for name, kind in found.items() if rank[name] < asked}
    if less:
        raise PrecisionError(
            f"{precision} was asked for, but {_roundings(less)}; look for settings that override the framework's "
            "precision (environment variables, site configuration)"
        )
    return f"{precision} was permitted and not used: {_roundings(more)}" if more else ""


def _roundings(found: Mapping[str, str]) -> str:
    return " and ".join(f"the {name} rounds like {kind}" for name, kind in found.items())


def _operations() -> dict[str, tuple[Any, tuple[int, ...]]]:
    """A layer of each operation with the shape of its input."""
    return {
        "matmul": (keras.layers.Dense(_WIDTH, use_bias=False), (_ROWS, _WIDTH)),
        "conv": (keras.layers.Conv2D(_CHANNELS, 3, use_bias=False), (_IMAGES, _SIDE, _SIDE, _CHANNELS)),
    }


def _kind(adapter: Backend, layer: Any, shape: tuple[int, ...]) -> str:
    """The most precise arithmetic whose step the layer still shows."""
    model = keras.Sequential([keras.Input(shape[1:]), layer])
    model.compile()  # resolves whether it is compiled, as for every model
    layer.kernel.assign(np.ones(layer.kernel.shape, dtype=np.float32))
    with adapter.predicting(model) as forward:
        kept = [kind for kind, step in _STEPS.items() if _keeps(adapter, forward, layer, shape, step)]
    return kept[0] if kept else "bfloat16"


def _keeps(adapter: Backend, forward: Callable[[Any], Any], layer: Any, shape: tuple[int, ...], step: float) -> bool:
    """Whether a layer whose weights are all 1 still shows the step in its sums of inputs of 1 + step."""
    terms = int(np.prod(layer.kernel.shape[:-1]))
    (inputs,) = adapter.put(np.full(shape, 1 + step, dtype=np.float32))
    given = keras.ops.convert_to_numpy(keras.ops.cast(forward(inputs), "float32")).astype(np.float64)
    return bool(np.all(np.abs(given / terms - 1) > step / 2))
