"""What the device gives at most, measured through the framework in use.

The limits that utilisation is a share of are measured, not read from a data sheet: a shared machine or a throttled
clock does not reach what its data sheet says. Arithmetic is measured twice, since no one operation is the fastest of
every framework: in a large matrix product, and in a 3x3 convolution of many channels, as most of the models' own
operations are. Memory is measured by adding an array to another in place: a result in new memory would measure how fast
the system hands out pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.worker import timing

# Sizes grow until one operation takes this long, so that starting it does not count.
_LEAST_S = 0.02
_SIDES = (1024, 2048, 4096, 8192, 16384)
_IMAGES = (1, 4, 16, 64, 256, 1024, 4096)
_PIXELS, _CHANNELS, _KERNEL = 16, 256, 3
_MIB_OF_EACH = (64, 256, 1024)
_REPEATS = 5

Operation = tuple[float, Callable[[], Any]]  # the amount of its work (operations or bytes), and what starts it


def measure(adapter: Backend, precision: str) -> tuple[dict[str, float], list[str]]:
    """`product_flops_per_s`, `convolution_flops_per_s`, `memory_bytes_per_s`: the best of several repeats each.

    Arithmetic is in the compute dtype of the precision. Bytes are those read and those written. A size that memory has
    no room for ends the growth, and a note says so; a figure without any size that fits is missing.
    """
    dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    ladders: dict[str, tuple[Callable[[int], Operation], tuple[int, ...]]] = {
        "product_flops_per_s": (lambda side: _product(adapter, dtype, side), _SIDES),
        "convolution_flops_per_s": (lambda images: _convolution(adapter, dtype, images), _IMAGES),
        "memory_bytes_per_s": (lambda mib: _addition(adapter, mib), _MIB_OF_EACH),
    }
    rates: dict[str, float] = {}
    notes = []
    for name, (operation, sizes) in ladders.items():
        try:
            for rate in _rates(adapter, operation, sizes):
                rates[name] = max(rate, rates.get(name, 0.0))
        except Exception as error:
            if not adapter.is_out_of_memory(error):
                raise
            of_what = "is that of smaller sizes" if name in rates else "is not known"
            notes.append(f"{name} {of_what}: memory ran out as it was measured")
    return rates, notes


def _product(adapter: Backend, dtype: str, side: int) -> Operation:
    """Of a square matrix with itself."""
    matrix = _values(adapter, dtype, side, side)
    return 2.0 * side**3, lambda: keras.ops.matmul(matrix, matrix)


def _convolution(adapter: Backend, dtype: str, images: int) -> Operation:
    """Without padding, so that every multiplication that is counted is one."""
    inputs = _values(adapter, dtype, images, _PIXELS, _PIXELS, _CHANNELS)
    kernel = _values(adapter, dtype, _KERNEL, _KERNEL, _CHANNELS, _CHANNELS)
    outputs = images * (_PIXELS - _KERNEL + 1) ** 2 * _CHANNELS
    return 2.0 * outputs * _KERNEL**2 * _CHANNELS, lambda: keras.ops.conv(
        inputs, kernel, padding="valid", data_format="channels_last"
    )


def _addition(adapter: Backend, mib: int) -> Operation:
    """Both arrays are read and one is written."""
    values = mib * 2**18
    return 3.0 * 4 * values, adapter.adding_in_place(values)


def _values(adapter: Backend, dtype: str, *shape: int) -> Any:
    """A tensor on the device, of numbers that are not all equal: hardware computes with zeros at less power."""
    some = np.random.default_rng(0).random(shape[-1], dtype=np.float32)
    return keras.ops.cast(adapter.put(np.broadcast_to(some, shape).copy())[0], dtype)


def _rates(adapter: Backend, operation: Callable[[int], Operation], sizes: tuple[int, ...]) -> Iterator[float]:
    """The rate, work/s, at each size up to the first at which one operation takes long enough."""
    for size in sizes:
        work, run = operation(size)
        adapter.sync(run())
        seconds = min(timing.window(1, run, adapter.sync) for _ in range(_REPEATS))
        yield work / seconds
        if seconds >= _LEAST_S:
            break
