"""Training by `model.fit`: in which phases, validated how, and which epoch's weights are tested.

The epoch is chosen by validation data alone; the test split is never seen here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.records import quality
from bcdl.worker import batch_norm, divergence
from bcdl.worker.clocks import Callback, EpochClock
from bcdl.worker.epoch_lines import EpochLines
from bcdl.worker.input_pipeline import padded
from bcdl.worker.measured import NOBODY, Watcher
from bcdl.worker.phases import Phases
from bcdl.worker.prepared import Prepared
from bcdl.worker.snapshot import DiskSnapshot

# Values by name, one an epoch; None stands for a value that is not defined.
History = dict[str, list[float | None]]


@dataclasses.dataclass(frozen=True)
class Fit:
    """The result of `model.fit`.

    Attributes:
        seconds: of each epoch, without validation.
        history: the values of each epoch.
        epoch: the epoch, counted from 1, whose weights the model has.
    """

    seconds: list[float]
    history: History
    epoch: int


def fit_head(prepared: Prepared, watcher: Watcher = NOBODY) -> History:
    """Train the head alone for the cell's head epochs; the history.

    Meanwhile the backbone is frozen, and Keras runs frozen batch norms in inference mode.
    """
    model, cell = prepared.model, prepared.cell
    backbones = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    for backbone in backbones:
        backbone.trainable = False
    head = dataclasses.replace(prepared, model=prepared.head)
    clock = EpochClock(prepared.adapter)
    history = run_epochs(head, cell.head_epochs, [clock, *_lines(watcher, clock, "head")], bar=watcher.bar)
    for backbone in backbones:
        backbone.trainable = True
    batch_norm.prepare(model, cell.batch_norm)
    return history


def fit(prepared: Prepared, phases: Phases, watcher: Watcher = NOBODY) -> Fit:
    """Train for the cell's epochs, validating outside their time; the model then has the chosen epoch's weights."""
    validation = _Validation(prepared, phases)
    callbacks = [validation, *_lines(watcher, validation)]
    history = run_epochs(prepared, prepared.cell.epochs, callbacks, bar=watcher.bar)
    return Fit(validation.seconds, history, validation.choose())


def _lines(watcher: Watcher, clock: EpochClock, part: str = "") -> list[Callback]:
    """What says a line for each epoch; nothing if nobody takes it."""
    return [EpochLines(watcher.epoch, clock, part)] if watcher.epoch else []


def run_epochs(prepared: Prepared, epochs: int, callbacks: Sequence[Callback] = (), bar: bool = False) -> History:
    """`model.fit` of the cell's input pipeline for so many epochs; its history. `bar`: Keras shows its own."""
    history = prepared.model.fit(
        prepared.batches(),
        steps_per_epoch=prepared.pipeline.steps_per_epoch,
        epochs=epochs,
        verbose=int(bar),
        shuffle=False,  # the input pipeline owns the order
        callbacks=list(callbacks),
    ).history
    return _defined(history)


def _defined(history: dict[str, list[Any]]) -> History:
    """Keras's history; None for what is no finite number, and for all of an epoch whose loss is none."""
    finite = [divergence.is_finite(loss) for loss in history["loss"]]
    return {
        name: [
            float(value) if counts and divergence.is_finite(value) else None
            for value, counts in zip(values, finite, strict=True)
        ]
        for name, values in history.items()
    }


def outputs(model: keras.Model, adapter: Backend, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Inference outputs [N, 2] float32 of images [N, S, S, 3], by the one compiled forward function."""
    batches = (adapter.put(batch)[0] for batch in padded(images, batch_size))
    with adapter.predicting(model) as forward:
        parts = [keras.ops.convert_to_numpy(forward(batch)) for batch in batches]
    return np.concatenate(parts)[: len(images)]


class _Validation(EpochClock):
    """Times epochs, validates after each, and keeps the best one's weights if the cell asks for them."""

    def __init__(self, prepared: Prepared, phases: Phases) -> None:
        super().__init__(prepared.adapter)
        self._prepared, self._phases = prepared, phases
        self._least_loss, self._best_epoch = math.inf, 0
        self._best: DiskSnapshot | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._phases.begin("training", f"epoch {epoch + 1}/{self._prepared.cell.epochs}")
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        metrics = self._validate()
        if logs is not None:  # Keras puts these into its history and its progress bar, which wants numbers
            logs.update({name: math.nan if value is None else value for name, value in metrics.items()})
        self._judge(metrics["val_loss"], epoch + 1)
        if logs is not None and not (divergence.is_finite(logs["loss"]) and divergence.is_finite(logs["val_loss"])):
            self.model.stop_training = True  # nothing that follows would be a number

    def choose(self) -> int:
        """Give the model the weights that the cell's `keep` asks for; their epoch, counted from 1."""
        if self._best is None:
            return len(self.seconds)
        with self._phases.aside("keeping weights"):
            self._best.restore()
        return self._best_epoch

    def _validate(self) -> dict[str, float | None]:
        dataset, cell, adapter = self._prepared.dataset, self._prepared.cell, self._prepared.adapter
        with self._phases.aside("settling batch norms"):
            batch_norm.settle(self.model, adapter, dataset.train, cell)
        with self._phases.aside("validating"):
            given = outputs(self.model, adapter, dataset.val.images, cell.batch_size)
            return quality.measure("val", given, dataset.val.labels)

    def _judge(self, loss: float | None, epoch: int) -> None:
        """Keep the epoch if it is the best so far; stop if none has been for as long as the cell's patience."""
        cell = self._prepared.cell
        if self._best_epoch == 0 or (loss is not None and loss < self._least_loss):
            self._least_loss, self._best_epoch = math.inf if loss is None else loss, epoch
            if cell.keep == "best":
                with self._phases.aside("keeping weights"):
                    self._best = DiskSnapshot(self.model.variables)
        elif cell.patience and epoch - self._best_epoch >= cell.patience:
            self.model.stop_training = True
