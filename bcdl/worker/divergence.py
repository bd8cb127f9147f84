"""Whether a training diverged: then there is no model, and whatever its outputs would give is no accuracy.

A loss or an output that is NaN or infinite is seen on each backend alike; but a layer of some turns NaN into 0, so that
outputs are finite though no weight is. So the weights are asked, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bcdl.errors import BcdlError

if TYPE_CHECKING:
    import keras

_ADVICE = "use a smaller --learning-rate"


class DivergedError(BcdlError):
    """The training diverged; the message says by what that is known."""

    def __init__(self, sign: str) -> None:
        super().__init__(f"the training diverged: {sign}; {_ADVICE}")


def is_finite(loss: float | None) -> bool:
    """Whether a loss, None if it is not defined, is a finite number."""
    return loss is not None and math.isfinite(loss)


def check_history(history: Mapping[str, Sequence[float | None]], of: str = "") -> None:
    """DivergedError if a loss of an epoch is no finite number; `of` is what was trained, for the message."""
    for name in ("loss", "val_loss"):
        for epoch, loss in enumerate(history.get(name, ()), 1):
            if not is_finite(loss):
                kind = "validation loss" if name == "val_loss" else "loss"
                raise DivergedError(f"the {kind} of epoch {epoch}{of} is no finite number")


def check_weights(model: keras.Model) -> None:
    """DivergedError if a weight of the model is NaN or infinite."""
    if count := broken_weights(model):
        raise DivergedError(f"{count} of the model's {len(model.weights)} weights hold values that are not finite")


def broken_weights(model: keras.Model) -> int:
    """How many of the model's weights hold a value that is NaN or infinite."""
    return sum(not np.isfinite(variable.numpy()).all() for variable in model.weights)


def check_outputs(outputs: Mapping[str, np.ndarray]) -> None:
    """DivergedError if outputs [N, 2] of a split, by its name, are not finite, or speak for no class on any image."""
    for name, given in outputs.items():
        if wrong := int((~np.isfinite(given).all(axis=1)).sum()):
            raise DivergedError(f"the outputs of {wrong} of {len(given)} {name} images are no finite numbers")
        if len(given) and not given.any():
            raise DivergedError(f"both outputs of each of the {len(given)} {name} images are 0")
