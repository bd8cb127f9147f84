"""Snapshots give every variable its value back, the optimizer's state and the random states included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
snapshot = pytest.importorskip("bcdl.worker.snapshot")


def trained(steps: int) -> Any:
    """A small compiled model with dropout after so many steps."""
    layers = [keras.Input((4,)), keras.layers.Dropout(0.5, seed=0), keras.layers.Dense(2, activation="sigmoid")]
    model = keras.Sequential(layers)
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="binary_crossentropy")
    step(model, steps)
    return model


def step(model: Any, count: int) -> None:
    for _ in range(count):
        model.train_on_batch(np.ones((3, 4), np.float32), np.ones((3, 2), np.float32))


def state(model: Any) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("take", ["Snapshot", "DiskSnapshot.of"])
def test_a_step_is_undone(take: str, steps: int) -> None:
    model = trained(steps)
    name, _, method = take.partition(".")
    kept = getattr(getattr(snapshot, name), method)(model) if method else getattr(snapshot, name)(model)
    before = state(model)
    for _ in range(2):  # it can be put back as often as wanted
        step(model, 2)
        assert any((old != new).any() for old, new in zip(before, state(model), strict=True))
        kept.restore()
        for old, new in zip(before, state(model), strict=True):
            np.testing.assert_array_equal(old, new)


def test_other_values_can_be_put_in_place_of_a_snapshots() -> None:
    model = trained(1)
    kept = snapshot.Snapshot(model)
    kept.replaced([np.zeros_like(value) for value in kept.values]).restore()
    assert not any(value.any() for value in state(model))
    kept.restore()
    assert any(value.any() for value in state(model))
