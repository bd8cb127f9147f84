"""Values of variables set aside and put back: what a trial step changes, and the weights of the best epoch."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


class SetAside:
    """Copies of variables on the disk, kept until this object goes; in memory they would count as the worker's peak."""

    def __init__(self, variables: Iterable[Any]) -> None:
        self._variables = list(variables)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it goes with this object)
        for variable in self._variables:
            np.save(self._file, np.asarray(keras.ops.convert_to_numpy(variable)), allow_pickle=False)

    def restore(self) -> None:
        """Give every variable its copy's value."""
        self._file.seek(0)
        for variable in self._variables:
            variable.assign(np.load(self._file, allow_pickle=False))


def everything(model: keras.Model) -> SetAside:
    """A compiled model's weights, random states and optimizer state."""
    model.optimizer.build(model.trainable_variables)
    return SetAside([*model.variables, *model.optimizer.variables])


class Snapshot:
    """A model's weights, random states and optimizer state as arrays, to be compared, changed and put back."""

    def __init__(self, model: keras.Model) -> None:
        model.optimizer.build(model.trainable_variables)
        self._variables = [*model.variables, *model.optimizer.variables]
        self.values = [np.array(keras.ops.convert_to_numpy(v)) for v in self._variables]

    def restore(self) -> None:
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)

    def replaced(self, values: list[np.ndarray]) -> Snapshot:
        """A snapshot of the same model that holds `values` instead."""
        other = copy.copy(self)
        other.values = values
        return other
