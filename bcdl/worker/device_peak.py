"""What the device gives at most, measured through the framework in use: a large matrix product and a large copy.

The limit that utilisation is a share of is measured, not read from a data sheet: a shared machine or a throttled clock
does not reach what its data sheet says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.worker import timing

# Sizes grow until one operation takes this long, so that starting it does not count.
_LEAST_S = 0.05
_SIDES = (1024, 2048, 4096, 8192, 16384)
_COPY_MIB = (64, 128, 256, 512, 1024, 2048)
_REPEATS = 5


def measure(adapter: Backend, precision: str) -> dict[str, float]:
    """`peak_flops_per_s` of a square matrix product in `precision`, `peak_bytes_per_s` of a copy, read and written.

    The best of several repeats each, in the compute dtype of the precision.
    """
    dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    return {"peak_flops_per_s": _product(adapter, dtype), "peak_bytes_per_s": _copy(adapter)}


def _product(adapter: Backend, dtype: str) -> float:
    def operation(side: int) -> tuple[float, Callable[[], Any]]:
        values = np.random.default_rng(side).random((side, side), dtype=np.float32)
        matrix = keras.ops.cast(adapter.put(values)[0], dtype)
        return 2.0 * side**3, lambda: keras.ops.matmul(matrix, matrix)

    return _best(adapter, operation, _SIDES)


def _copy(adapter: Backend) -> float:
    def operation(mib: int) -> tuple[float, Callable[[], Any]]:
        (values,) = adapter.put(np.ones(mib * 2**18, dtype=np.float32))
        return 2.0 * mib * 2**20, lambda: keras.ops.add(values, 1.0)

    return _best(adapter, operation, _COPY_MIB)


def _best(
    adapter: Backend, operation: Callable[[int], tuple[float, Callable[[], Any]]], sizes: tuple[int, ...]
) -> float:
    """The highest rate, work/s, over the sizes up to the first at which one operation takes long enough.

    `operation` makes, for a size, the amount of its work (operations or bytes) and the function that starts it.
    """
    rate = 0.0
    for size in sizes:
        work, run = operation(size)
        adapter.sync(run())
        seconds = min(timing.window(1, run, adapter.sync) for _ in range(_REPEATS))
        rate = max(rate, work / seconds)
        if seconds >= _LEAST_S:
            break
    return rate
