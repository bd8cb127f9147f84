"""The regimes of one cell, on whichever backend Keras runs: fit, step and predict, and what they learn.

Imported by a worker after its adapter has configured the framework. Training goes through the function
that `fit` compiles, and validation, test and predict through one forward function, so that nothing is
compiled twice.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import itertools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from backends import Backend
from bcdl import cost, measure, network, peak, probe, quality
from bcdl.cell import Cell
from bcdl.datasets import Split
from bcdl.feed import TrainFeed, one_hot, padded
from bcdl.initial import draw_initial_weights
from bcdl.models import find

# Training images on which training-mode and inference-mode accuracy are compared, in batches.
PROBE_BATCHES = 4

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Fit:
    """What `model.fit` gave: seconds of each epoch without validation, and the history by epoch."""

    seconds: list[float]
    history: dict[str, list[float | None]]


def set_keras_defaults(precision: str) -> None:
    """Undo what a user's Keras configuration may hold, and set the precision's dtype policy."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float64" if precision == "float64" else "float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy(precision if precision in ("mixed_bfloat16", "float64") else "float32")


def build(cell: Cell, weights_file: str | None) -> keras.Model:
    """The cell's model, compiled, every weight drawn by NumPy or loaded."""
    source = weights_file if weights_file else (None if cell.weights == "none" else cell.weights)
    model = network.build(find(cell.model), cell.image_size, cell.seed, source)
    loaded = next((layer.name for layer in model.layers if isinstance(layer, keras.Model)), None) if source else None
    draw_initial_weights(model, cell.seed, skip=loaded)
    model.compile(optimizer=keras.optimizers.Adam(cell.learning_rate), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def describe_model(model: keras.Model) -> dict[str, Any]:
    """Parameter counts, what the sizes decided, and what the model costs."""
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return {
        "parameters": model.count_params(),
        "trainable_parameters": trainable,
        "head_padding": network.head_padding(model),
        "cost": cost.describe(model),
    }


def check_precision(precision: str) -> dict[str, str]:
    """The arithmetic of a matrix product and a convolution here; probe.PrecisionError where it is not `precision`."""
    return probe.check(precision)


def device_peak(adapter: Backend, precision: str) -> dict[str, float]:
    """What the device gives at most, as metrics."""
    return peak.measure(adapter, precision)


def weights_checksum(model: keras.Model) -> str:
    """SHA-256 over every weight's bytes as float32, in the model's order: equal starts have equal checksums."""
    digest = hashlib.sha256()
    for variable in model.weights:
        digest.update(keras.ops.convert_to_numpy(variable).astype(np.float32).tobytes())
    return digest.hexdigest()


def first_step(model: keras.Model, adapter: Backend, feed: TrainFeed) -> float:
    """Seconds of a `fit` of one step, tracing and compilation included; the weights are put back."""
    before = Snapshot(model)
    start = time.perf_counter()
    model.fit(adapter.stream(feed.stream()), steps_per_epoch=1, epochs=1, verbose=0, shuffle=False)
    adapter.sync([v.value for v in model.trainable_variables])
    seconds = time.perf_counter() - start
    before.restore()
    return seconds


def fit(
    model: keras.Model, adapter: Backend, feed: TrainFeed, val: Split, cell: Cell, report: Report, verbose: int
) -> Fit:
    """Train for the cell's epochs by `model.fit`, validating after each epoch, outside its time."""
    clock = _EpochClock(adapter, val, cell, report)
    history = model.fit(
        adapter.stream(feed.stream()),
        steps_per_epoch=feed.steps_per_epoch,
        epochs=cell.epochs,
        verbose=verbose,
        shuffle=False,  # the feed owns the order
        callbacks=[clock],
    ).history
    return Fit(clock.seconds, {name: [_number(v) for v in values] for name, values in history.items()})


def outputs(model: keras.Model, adapter: Backend, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Inference outputs [N, 2] float32 of images [N, S, S, 3], by the one compiled forward function."""
    batches = (adapter.put(batch)[0] for batch in padded(images, batch_size))
    with adapter.predicting(model) as forward:
        parts = [keras.ops.convert_to_numpy(forward(batch)) for batch in batches]
    return np.concatenate(parts)[: len(images)]


def batch_norm_probe(model: keras.Model, adapter: Backend, split: Split, cell: Cell) -> dict[str, float | None]:
    """Accuracy and loss on the same training images in training mode and in inference mode.

    Training mode normalises by the batch's own statistics (and drops units out), inference mode by moving
    averages: where the second is far below the first, the averages have not settled. Training mode is a
    `fit` at learning rate 0, so that it runs the function already compiled; all state is put back.
    """
    count = min(PROBE_BATCHES, len(split) // cell.batch_size) * cell.batch_size
    chosen = np.random.default_rng([cell.seed, len(split)]).permutation(len(split))[:count]
    images, labels = split.images[chosen], split.labels[chosen]
    inference = outputs(model, adapter, images, cell.batch_size)
    before = Snapshot(model)
    model.optimizer.learning_rate = 0.0
    steps = count // cell.batch_size
    parts = zip(np.split(images, steps), np.split(one_hot(labels), steps), strict=True)
    stream = adapter.stream(batch for batch in itertools.cycle(parts))
    training = model.fit(stream, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False).history
    before.restore()
    return {
        "train_mode_accuracy": float(training["accuracy"][0]),
        "train_mode_loss": _number(training["loss"][0]),
        "inference_mode_accuracy": quality.accuracy(inference, labels),
        "inference_mode_loss": quality.loss(inference, labels),
    }


def time_steps(model: keras.Model, adapter: Backend, feed: TrainFeed, cell: Cell) -> measure.Timed:
    """Windows of training steps on one batch that is on the device already."""
    images, labels = adapter.put(*feed.batch(epoch=0, step=0))
    with adapter.training(model, images, labels) as step:
        return measure.windows(cell.windows, cell.window_steps, step, adapter.sync)


def time_predictions(model: keras.Model, adapter: Backend, feed: TrainFeed, cell: Cell) -> measure.Timed:
    """Windows of inference steps on one batch that is on the device already."""
    images, _ = adapter.put(*feed.batch(epoch=0, step=0))
    with adapter.predicting(model) as forward:
        return measure.windows(cell.windows, cell.window_steps, lambda: forward(images), adapter.sync)


def time_requests(model: keras.Model, adapter: Backend, feed: TrainFeed, cell: Cell) -> measure.Timed:
    """Requests of one image each, from its bytes on the host to its outputs on the host.

    The first one compiles the forward function for a batch of one; it is part of the warm-up.
    """
    image = feed.batch(epoch=0, step=0)[0][:1]
    with adapter.predicting(model) as forward:

        def request() -> np.ndarray:
            return keras.ops.convert_to_numpy(forward(adapter.put(image)[0]))

        return measure.windows(cell.windows, 1, request, lambda outputs: None)


class _EpochClock(keras.callbacks.Callback):
    """Times epochs and validates after each.

    It has no batch-level hook: one would make Keras synchronise every step on JAX and torch, and so change
    what is measured.
    """

    def __init__(self, adapter: Backend, val: Split, cell: Cell, report: Report) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._adapter, self._val, self._cell, self._report = adapter, val, cell, report
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._report(f"epoch {epoch + 1}/{self._cell.epochs}")
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._adapter.sync([v.value for v in self.model.trainable_variables])
        self.seconds.append(time.perf_counter() - self._start)
        scores = outputs(self.model, self._adapter, self._val.images, self._cell.batch_size)
        if logs is not None:  # Keras puts these into its history and its progress bar
            logs.update(quality.measure("val", scores, self._val.labels))


class Snapshot:
    """A model's weights, random states and optimizer state, to be put back after a trial step."""

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


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
