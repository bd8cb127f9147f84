"""Training by `model.fit`: what is optimised, in which phases, and which epoch's weights are tested.

The epoch is chosen by validation data alone; the test split is never seen here.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.datasets import LABELS, Dataset
from bcdl.evaluation import quality
from bcdl.settings.cell import MOMENTUM, Cell
from bcdl.worker import batch_norm
from bcdl.worker.input_pipeline import TrainFeed, padded
from bcdl.worker.snapshot import SetAside

# The head, drawn at random, learns at so many times the rate of a pretrained backbone.
HEAD_RATE = 10
# By the value of the setting, from the learning rate.
_OPTIMIZERS: dict[str, Callable[[float], keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=MOMENTUM),
}

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Fit:
    """What `model.fit` gave.

    Attributes:
        seconds: of each epoch, validation left out.
        validation_s: what was left out of all of them: settling batch norms, validating, setting weights aside.
        history: by epoch.
        epoch: whose weights the model has, from 1.
    """

    seconds: list[float]
    validation_s: float
    history: dict[str, list[float | None]]
    epoch: int


@keras.saving.register_keras_serializable(package="bcdl")
class BalancedCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of both outputs, each image weighed by its class: `weights` are (benign, malignant)."""

    def __init__(self, weights: list[float], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.weights = weights

    def call(self, wanted: Any, given: Any) -> Any:
        each = keras.losses.binary_crossentropy(wanted, given)
        weights = keras.ops.convert_to_tensor(self.weights, each.dtype)
        return each * keras.ops.sum(keras.ops.cast(wanted, each.dtype) * weights, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weights": self.weights}


def class_weights(labels: np.ndarray) -> list[float]:
    """N / (2 N_c) for each class c of labels [N]: weighed so, classes count alike and the mean weight is 1.

    King and Zeng 2001, Political Analysis 9(2), 137-163, as scikit-learn's `balanced`.
    """
    counts = np.bincount(labels, minlength=len(LABELS))
    return [float(len(labels) / (len(LABELS) * count)) for count in counts]


def compile_model(model: keras.Model, cell: Cell, weights: list[float] | None, rate: float) -> None:
    """Compile for the cell's loss and optimizer at a learning rate; `weights` of classes are None for equal ones."""
    loss = BalancedCrossentropy(weights) if weights else "binary_crossentropy"
    model.compile(optimizer=_OPTIMIZERS[cell.optimizer](rate), loss=loss, metrics=["accuracy"])


def fit_head(
    model: keras.Model, adapter: Backend, feed: TrainFeed, cell: Cell, weights: list[float] | None, verbose: int
) -> dict[str, list[float | None]]:
    """Train what is no backbone for the cell's head epochs, the backbone's batch norms in inference mode; the history.

    A frozen layer of Keras runs in inference mode. The model is left as it was to be compiled: at the cell's rate.
    """
    backbones = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    for backbone in backbones:
        backbone.trainable = False
    compile_model(model, cell, weights, HEAD_RATE * cell.learning_rate)
    history = _fit(model, adapter, feed, cell.head_epochs, verbose, [])
    for backbone in backbones:
        backbone.trainable = True
    batch_norm.prepare(model, cell.batch_norm)
    compile_model(model, cell, weights, cell.learning_rate)
    return history


def fit(
    model: keras.Model, adapter: Backend, feed: TrainFeed, dataset: Dataset, cell: Cell, report: Report, verbose: int
) -> Fit:
    """Train for the cell's epochs, validating outside their time; the model then has the chosen epoch's weights."""
    clock = _EpochClock(adapter, dataset, cell, report)
    history = _fit(model, adapter, feed, cell.epochs, verbose, [clock])
    return Fit(clock.seconds, clock.validation_s, history, clock.choose())


def outputs(model: keras.Model, adapter: Backend, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Inference outputs [N, 2] float32 of images [N, S, S, 3], by the one compiled forward function."""
    batches = (adapter.put(batch)[0] for batch in padded(images, batch_size))
    with adapter.predicting(model) as forward:
        parts = [keras.ops.convert_to_numpy(forward(batch)) for batch in batches]
    return np.concatenate(parts)[: len(images)]


def _fit(
    model: keras.Model, adapter: Backend, feed: TrainFeed, epochs: int, verbose: int, callbacks: list[Any]
) -> dict[str, list[float | None]]:
    history = model.fit(
        adapter.stream(feed.stream()),
        steps_per_epoch=feed.steps_per_epoch,
        epochs=epochs,
        verbose=verbose,
        shuffle=False,  # the feed owns the order
        callbacks=callbacks,
    ).history
    return {name: [None if value is None else float(value) for value in values] for name, values in history.items()}


class _EpochClock(keras.callbacks.Callback):
    """Times epochs, validates after each, and keeps the best one's weights where the cell asks for them.

    It has no batch-level hook: one would make Keras synchronise every step on JAX and torch, and so change
    what is measured.
    """

    def __init__(self, adapter: Backend, dataset: Dataset, cell: Cell, report: Report) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.validation_s = 0.0
        self._adapter, self._dataset, self._cell, self._report = adapter, dataset, cell, report
        self._start = 0.0
        self._least_loss, self._best_epoch = math.inf, 0
        self._best: SetAside | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._report(f"epoch {epoch + 1}/{self._cell.epochs}")
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._adapter.sync([v.value for v in self.model.trainable_variables])
        end = time.perf_counter()
        self.seconds.append(end - self._start)
        found = self._validate()
        if logs is not None:  # Keras puts these into its history and its progress bar
            logs.update(found)
        self._judge(found["val_loss"], epoch + 1)
        self.validation_s += time.perf_counter() - end

    def choose(self) -> int:
        """Give the model the weights that the cell's `keep` asks for; the epoch they are of, from 1."""
        if self._best is None:
            return len(self.seconds)
        self._best.restore()
        return self._best_epoch

    def _validate(self) -> dict[str, float | None]:
        cell, val = self._cell, self._dataset.val
        batch_norm.settle(self.model, self._adapter, self._dataset.train, cell)
        return quality.measure("val", outputs(self.model, self._adapter, val.images, cell.batch_size), val.labels)

    def _judge(self, loss: float | None, epoch: int) -> None:
        """Keep the epoch where it is the best so far; stop where none has been for as long as the cell's patience."""
        if self._best_epoch == 0 or (loss is not None and loss < self._least_loss):
            self._least_loss, self._best_epoch = math.inf if loss is None else loss, epoch
            if self._cell.keep == "best":
                self._best = SetAside(self.model.variables)
        elif self._cell.patience and epoch - self._best_epoch >= self._cell.patience:
            self.model.stop_training = True
