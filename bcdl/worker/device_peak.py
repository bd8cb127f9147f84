"""What the device gives at most, measured through the framework in use.

The limits that utilisation is a share of are measured, not read from a data sheet: a shared machine or a throttled
clock does not reach what its data sheet says. Arithmetic is measured twice, since no one operation is the fastest of
every framework: in a large matrix product, and in a 3x3 convolution of many channels, as most of the models' own
operations are. Memory is measured by adding an array to another in place: a result in new memory would measure how fast
the system hands out pages.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.machine import hardware
from bcdl.worker import timing

# Sizes grow until one operation takes this long, so that starting it does not count.
_LEAST_S = 0.02
# A size that takes less than this share of it says no more than that a much larger one is needed: those between, each
# of which a framework may have to compile, are skipped.
_FAR_SHORT = 1 / 100
_SIDES = (1024, 2048, 4096, 8192, 16384)
_IMAGES = (1, 4, 16, 64, 256, 1024, 4096)
_PIXELS, _CHANNELS, _KERNEL = 16, 256, 3
_MIB_OF_EACH = (64, 256, 1024)
_ROWS = 128  # that differ in what is computed with; the others repeat them
_REPEATS = 5
_OF_SMALLER = "that of smaller sizes: memory ran out for larger ones"
_UNKNOWN = "not known: memory ran out"


@dataclasses.dataclass(frozen=True)
class _Yardstick:
    """An operation that comes in sizes.

    Attributes:
        sizes: from smallest to largest.
        work: of one operation of a size: operations, or bytes.
        prepare: gives what starts an operation of a size, and returns what can be waited for.
    """

    sizes: tuple[int, ...]
    work: Callable[[int], float]
    prepare: Callable[[int], Callable[[], Any]]

    def after(self, size: int, seconds: float, too_large: float) -> int | None:
        """The size to try after one that took so long; None if that was long enough, or no larger one fits."""
        larger = [other for other in self.sizes if size < other < too_large]
        if seconds >= _LEAST_S or not larger:
            return None
        if seconds >= _FAR_SHORT * _LEAST_S:
            return larger[0]
        expected = {other: seconds * self.work(other) / self.work(size) for other in larger}
        return next((other for other in larger if expected[other] >= _LEAST_S), larger[-1])


def measure(adapter: Backend, precision: str) -> tuple[dict[str, float], list[str]]:
    """`product_flops_per_s`, `convolution_flops_per_s`, `memory_bytes_per_s`: the best of several repeats each.

    Arithmetic is in the compute dtype of the precision. Bytes are those read and those written. If memory has no room
    for a size, smaller ones have to do, and a note says so; a figure that no size gives is missing.
    """
    rates: dict[str, float] = {}
    notes = []
    for name, yardstick in _yardsticks(adapter, "bfloat16" if precision == "mixed_bfloat16" else "float32").items():
        best, ran_out = _best(adapter, yardstick)
        if best:
            rates[name] = best
        if ran_out:
            notes.append(f"{name} is {_OF_SMALLER if best else _UNKNOWN}")
    return rates, notes


def _best(adapter: Backend, yardstick: _Yardstick) -> tuple[float, bool]:
    """The highest rate, work/s, up to the first size that takes long enough; 0 if none fits. Whether memory ran out."""
    best, fitted, too_large = 0.0, 0, math.inf
    size: int | None = yardstick.sizes[0]
    while size is not None:
        try:
            seconds = _seconds(adapter, yardstick.prepare(size))
        except Exception as error:
            if not adapter.is_out_of_memory(error):
                raise
            too_large = size
            size = max((other for other in yardstick.sizes if fitted < other < size), default=None)
        else:
            best, fitted = max(best, yardstick.work(size) / seconds), size
            size = yardstick.after(size, seconds, too_large)
    return best, too_large < math.inf


def _seconds(adapter: Backend, run: Callable[[], Any]) -> float:
    """Those of the fastest of several runs, after one that compiles."""
    adapter.sync(run())
    return min(timing.window(1, run, adapter.sync) for _ in range(_REPEATS))


def _yardsticks(adapter: Backend, dtype: str) -> dict[str, _Yardstick]:
    """A product of a square matrix with itself, a convolution, and a sum of arrays in place."""
    outputs = (_PIXELS - _KERNEL + 1) ** 2 * _CHANNELS  # of an image
    return {
        "product_flops_per_s": _Yardstick(
            _SIDES, lambda side: 2.0 * side**3, lambda side: _product(adapter, dtype, side)
        ),
        "convolution_flops_per_s": _Yardstick(
            _IMAGES,
            lambda images: 2.0 * images * outputs * _KERNEL**2 * _CHANNELS,
            lambda images: _convolution(adapter, dtype, images),
        ),
        "memory_bytes_per_s": _Yardstick(
            _MIB_OF_EACH,
            lambda mib: 3.0 * mib * hardware.MIB,  # both arrays are read and one is written
            lambda mib: adapter.adding_in_place(mib * hardware.MIB // 4),
        ),
    }


def _product(adapter: Backend, dtype: str, side: int) -> Callable[[], Any]:
    matrix = _values(adapter, dtype, side, side)
    return lambda: keras.ops.matmul(matrix, matrix)


def _convolution(adapter: Backend, dtype: str, images: int) -> Callable[[], Any]:
    """Without padding, so that every multiplication that is counted is one."""
    inputs = _values(adapter, dtype, images, _PIXELS, _PIXELS, _CHANNELS)
    kernel = _values(adapter, dtype, _KERNEL, _KERNEL, _CHANNELS, _CHANNELS)
    return lambda: keras.ops.conv(inputs, kernel, padding="valid", data_format="channels_last")


def _values(adapter: Backend, dtype: str, *shape: int) -> Any:
    """A tensor on the device, of rows of random numbers: with equal ones a GPU draws less power, and is faster."""
    rows = np.random.default_rng(0).random((_ROWS, shape[-1]), dtype=np.float32)
    return keras.ops.cast(adapter.put(np.resize(rows, shape))[0], dtype)
