"""A plain line for each epoch of `model.fit`, for who reads what is printed and does not watch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from bcdl.worker.clocks import EpochClock


class EpochLines(keras.callbacks.Callback):
    """Says the number of each epoch, its seconds and its figures as it ends.

    It comes after the callbacks that add figures. It has no batch-level hook: see `EpochClock`.

    Args:
        say: takes the line.
        clock: times the epochs; it comes before this one.
        part: what is trained, if it is not the whole model.
    """

    def __init__(self, say: Callable[[str], None], clock: EpochClock, part: str = "") -> None:
        super().__init__()
        self._say, self._clock, self._part = say, clock, part

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        figures = [f"{name} {float(value):.4f}" for name, value in (logs or {}).items()]
        which = f"{self._part} epoch {epoch + 1}/{self.params['epochs']}".strip()
        self._say(f"{which}: {', '.join([f'{self._clock.seconds[-1]:.1f} s', *figures])}")
