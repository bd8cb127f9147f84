"""Callbacks of `model.fit` that time it by the one clock."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras

from bcdl.backends import Backend
from bcdl.machine.clock import stopwatch

# What `model.fit` takes; for annotations in modules that must not import Keras.
Callback: TypeAlias = keras.callbacks.Callback


class EpochClock(keras.callbacks.Callback):
    """Times each epoch from its beginning to the end of its last step on the device.

    It has no batch-level hook: one would make Keras synchronise every step on JAX and torch, and so change
    what is measured.

    Attributes:
        seconds: of each epoch so far.
    """

    def __init__(self, adapter: Backend) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._adapter = adapter

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._elapsed = stopwatch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        wait_for_training(self.model, self._adapter)
        self.seconds.append(self._elapsed())


class BatchTimer(keras.callbacks.Callback):
    """A timer of batches as other harnesses write it; an experiment shows what it does to its own figure.

    Attributes:
        seconds: the sum of the times between a batch's begin and its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._elapsed = stopwatch()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.seconds += self._elapsed()


def wait_for_training(model: keras.Model, adapter: Backend) -> None:
    """Return once the model's last training step is computed."""
    adapter.sync([variable.value for variable in model.trainable_variables])
