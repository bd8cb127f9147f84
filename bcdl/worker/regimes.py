"""What is measured of one cell, on whichever backend Keras runs: build, first step, step, predict and request.

Imported by a worker after its adapter has configured the framework. Training goes through the function that `fit`
compiles (`bcdl.training`), and validation, test and predict through one forward function, so that nothing is compiled
twice.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.settings.cell import Cell
from bcdl.settings.models import find
from bcdl.worker import batch_norm, flops, network, snapshot, timing, training
from bcdl.worker.initial_weights import draw_initial_weights
from bcdl.worker.input_pipeline import TrainFeed


def build(cell: Cell, weights_file: str | None, class_weights: list[float] | None = None) -> keras.Model:
    """The cell's model, compiled, every weight drawn by NumPy or loaded."""
    source = weights_file if weights_file else (None if cell.weights == "none" else cell.weights)
    model = network.build(find(cell.model), cell.image_size, cell.seed, source)
    loaded = next((layer.name for layer in model.layers if isinstance(layer, keras.Model)), None) if source else None
    draw_initial_weights(model, cell.seed, skip=loaded)
    batch_norm.prepare(model, cell.batch_norm)
    training.compile_model(model, cell, class_weights, cell.learning_rate)
    return model


def describe_model(model: keras.Model) -> dict[str, Any]:
    """Parameter counts, what the sizes decided, and what the model costs."""
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return {
        "parameters": model.count_params(),
        "trainable_parameters": trainable,
        "head_padding": network.head_padding(model),
        "cost": flops.describe(model),
    }


def weights_checksum(model: keras.Model) -> str:
    """SHA-256 over every weight's bytes as float32, in the model's order: equal starts have equal checksums."""
    digest = hashlib.sha256()
    for variable in model.weights:
        digest.update(keras.ops.convert_to_numpy(variable).astype(np.float32).tobytes())
    return digest.hexdigest()


def first_step(model: keras.Model, adapter: Backend, feed: TrainFeed) -> float:
    """Seconds of a `fit` of one step, tracing and compilation included; the weights are put back."""
    before = snapshot.everything(model)
    start = time.perf_counter()
    model.fit(adapter.stream(feed.stream()), steps_per_epoch=1, epochs=1, verbose=0, shuffle=False)
    adapter.sync([v.value for v in model.trainable_variables])
    seconds = time.perf_counter() - start
    before.restore()
    return seconds


def time_steps(model: keras.Model, adapter: Backend, feed: TrainFeed, cell: Cell) -> timing.Timed:
    """Windows of training steps on one batch that is on the device already."""
    images, labels = adapter.put(*feed.batch(epoch=0, step=0))
    with adapter.training(model, images, labels) as step:
        return timing.windows(cell.windows, cell.window_steps, step, adapter.sync)


def time_predictions(model: keras.Model, adapter: Backend, feed: TrainFeed, cell: Cell) -> timing.Timed:
    """Windows of inference steps on one batch that is on the device already."""
    images, _ = adapter.put(*feed.batch(epoch=0, step=0))
    with adapter.predicting(model) as forward:
        return timing.windows(cell.windows, cell.window_steps, lambda: forward(images), adapter.sync)


def time_requests(model: keras.Model, adapter: Backend, feed: TrainFeed, cell: Cell) -> timing.Timed:
    """Requests of one image each, from its bytes on the host to its outputs on the host.

    The first one compiles the forward function for a batch of one; it is part of the warm-up.
    """
    image = feed.batch(epoch=0, step=0)[0][:1]
    with adapter.predicting(model) as forward:

        def request() -> np.ndarray:
            return keras.ops.convert_to_numpy(forward(adapter.put(image)[0]))

        return timing.windows(cell.windows, 1, request, lambda outputs: None)
