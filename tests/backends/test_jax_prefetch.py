"""Batches that JAX copies ahead: all of them, in order, and at most a few at a time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np
import pytest

pytestmark = pytest.mark.keras
jax = pytest.importorskip("jax")
adapter = importlib.import_module("bcdl.backends.jax.adapter")


@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_batch_arrives_whole_in_order_and_a_few_ahead(count: int) -> None:
    generator, taken = np.random.default_rng(0), []

    def source() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _ in range(count):
            images = generator.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
            taken.append((images, generator.random((2, 2), dtype=np.float32)))
            yield taken[-1]

    arrived = 0
    for batch, wanted in zip(adapter.Adapter().prefetch(source()), taken, strict=False):
        for array, values in zip(batch, wanted, strict=True):
            assert isinstance(array, jax.Array)
            assert array.dtype == values.dtype
            np.testing.assert_array_equal(array, values)
        arrived += 1
        assert len(taken) == min(count, arrived + adapter._PREFETCHED_BATCHES)
    assert arrived == count
