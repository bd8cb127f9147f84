"""Batches that are copied to the device ahead: each arrives whole, and at most a few lie in the host's memory."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.keras
torch = pytest.importorskip("torch")
prefetch = importlib.import_module("bcdl.backends.torch.prefetch")


class Late:
    """A copier whose copies are made as late as they may be: when they are waited for, by the host or the device."""

    def __init__(self) -> None:
        self.buffers = 0

    def buffer(self, array: np.ndarray) -> Any:
        self.buffers += 1
        return torch.empty(array.shape, dtype=torch.as_tensor(array).dtype)

    def start(self, buffers: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        tensors = tuple(torch.full_like(buffer, 99) for buffer in buffers)
        return tensors, _Copy(tensors, buffers)

    def finish(self, tensors: tuple[Any, ...], copied: Any) -> None:
        copied.synchronize()


class _Copy:
    def __init__(self, tensors: tuple[Any, ...], buffers: tuple[Any, ...]) -> None:
        self._left = list(zip(tensors, buffers, strict=True))

    def synchronize(self) -> None:
        while self._left:
            tensor, buffer = self._left.pop()
            tensor.copy_(buffer)


def batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    return [
        (generator.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8), generator.random((2, 2), dtype=np.float32))
        for _ in range(count)
    ]


@settings(deadline=None)
@given(count=st.integers(0, 12))
def test_every_batch_arrives_whole_and_in_order(count: int) -> None:
    made, late = batches(count), Late()
    given_out = list(prefetch.ahead(made, late))
    assert len(given_out) == count
    for tensors, arrays in zip(given_out, made, strict=True):
        for tensor, array in zip(tensors, arrays, strict=True):
            assert tensor.numpy().dtype == array.dtype
            np.testing.assert_array_equal(tensor.numpy(), array)
    assert late.buffers == 2 * min(count, prefetch.AHEAD + 1)


def test_batches_are_taken_only_as_far_ahead_as_is_said() -> None:
    taken = []

    def source() -> Iterator[tuple[np.ndarray, ...]]:
        for number, batch in enumerate(batches(9)):
            taken.append(number)
            yield batch

    ahead = prefetch.ahead(source(), Late())
    for asked in range(5):
        next(ahead)
        assert len(taken) == asked + 1 + prefetch.AHEAD


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") != "torch", reason="the model is one of torch")
def test_fit_takes_the_batches() -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4, 4, 3), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(loss="mse")
    history = model.fit(prefetch.ahead(batches(9), Late()), steps_per_epoch=3, epochs=2, verbose=0, shuffle=False)
    assert len(history.history["loss"]) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gets_the_same_bytes() -> None:
    made = batches(50)
    for tensors, arrays in zip(prefetch.ahead(made, prefetch.Gpu()), made, strict=True):
        for tensor, array in zip(tensors, arrays, strict=True):
            np.testing.assert_array_equal(tensor.cpu().numpy(), array)
