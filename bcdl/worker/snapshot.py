"""Keeps values of variables and puts them back: those that a trial step changes, and the weights of the best epoch."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import IO

import keras
import numpy as np

from bcdl.machine import scratch


class DiskSnapshot:
    """Values of variables on the disk, deleted with this object; in memory they would count as the worker's peak.

    UsageError if no disk has room for them.
    """

    def __init__(self, variables: Iterable[keras.Variable]) -> None:
        self._variables = list(variables)
        self._file = scratch.file(self._write)  # it goes with this object

    @classmethod
    def of(cls, model: keras.Model) -> DiskSnapshot:
        """Of everything that a training step changes in a compiled model."""
        return cls(_state_variables(model))

    def _write(self, file: IO[bytes]) -> None:
        for variable in self._variables:
            np.save(file, np.asarray(keras.ops.convert_to_numpy(variable)), allow_pickle=False)

    def restore(self) -> None:
        """Give every variable the value that it had."""
        self._file.seek(0)
        for variable in self._variables:
            variable.assign(np.load(self._file, allow_pickle=False))


class Snapshot:
    """Everything that a training step changes in a compiled model, as arrays to be compared, changed and put back."""

    def __init__(self, model: keras.Model) -> None:
        self._variables = _state_variables(model)
        self.values = [np.array(keras.ops.convert_to_numpy(v)) for v in self._variables]

    def restore(self) -> None:
        """Give every variable the value that it had."""
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)

    def replaced(self, values: list[np.ndarray]) -> Snapshot:
        """A snapshot of the same model that holds `values` instead."""
        other = copy.copy(self)
        other.values = values
        return other


def _state_variables(model: keras.Model) -> list[keras.Variable]:
    """A compiled model's weights, random states and optimizer state; the optimizer's are made if there are none yet."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
