"""Finds out by rounding which arithmetic a process really uses, in a matrix product and in a convolution.

Frameworks choose their arithmetic by flags of their own, and not the same for both (torch's defaults are TF32 off for
products and on for convolutions), so a flag proves nothing. 1 + 2^-9 survives in float32 and TF32 (a fraction of
10 bits) but is 1 in bfloat16 (7 bits); 1 + 2^-12 survives in float32 alone.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from bcdl.errors import BcdlError

_CHANNELS = 64
_SIDE = 8
# What each precision must show, and the steps above 1 by which it is seen.
ARITHMETIC = {"float32": "float32", "tf32": "tf32", "mixed_bfloat16": "bfloat16"}
_STEPS = {"float32": 2.0**-12, "tf32": 2.0**-9}


class PrecisionError(BcdlError):
    """The arithmetic in use is not that which was asked for."""


def arithmetic() -> dict[str, str]:
    """By operation (`matmul`, `conv`), the arithmetic of Keras's layers in this process: a value of `ARITHMETIC`."""
    kinds = {}
    for name, (layer, shape) in _operations().items():
        layer.build(shape)
        layer.kernel.assign(np.ones(layer.kernel.shape, dtype=np.float32))
        kept = [kind for kind, step in _STEPS.items() if _keeps(layer, shape, step)]
        kinds[name] = kept[0] if kept else "bfloat16"
    return kinds


def check(precision: str) -> dict[str, str]:
    """`arithmetic()`; PrecisionError if it is not that of `precision`."""
    kinds = arithmetic()
    wrong = {name: kind for name, kind in kinds.items() if kind != ARITHMETIC[precision]}
    if wrong:
        roundings = " and ".join(f"the {name} rounds like {kind}" for name, kind in wrong.items())
        raise PrecisionError(
            f"{precision} was asked for, but {roundings}; look for settings that override the framework's precision "
            "(environment variables, site configuration)"
        )
    return kinds


def _operations() -> dict[str, tuple[Any, tuple[int, ...]]]:
    """A layer of each operation with the shape of its input, large enough to reach the device's fast units."""
    return {
        "matmul": (keras.layers.Dense(_CHANNELS, use_bias=False), (_CHANNELS, _CHANNELS)),
        "conv": (keras.layers.Conv2D(_CHANNELS, 3, use_bias=False), (1, _SIDE, _SIDE, _CHANNELS)),
    }


def _keeps(layer: Any, shape: tuple[int, ...], step: float) -> bool:
    """Whether a layer whose weights are all 1 still shows the step in its sums of inputs of 1 + step."""
    terms = int(np.prod(layer.kernel.shape[:-1]))
    inputs = np.full(shape, 1 + step, dtype=np.float32)
    given = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(layer(inputs), "float32")), dtype=np.float64)
    return bool(np.all(np.abs(given / terms - 1) > step / 2))
