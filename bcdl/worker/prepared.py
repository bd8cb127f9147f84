"""Makes a cell ready in this process: its data, its model and its input pipeline. Nothing else does so."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import keras

from bcdl import datasets
from bcdl.backends import Backend
from bcdl.datasets import Dataset
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.models import find
from bcdl.worker import batch_norm, network, training
from bcdl.worker.initial_weights import draw_initial_weights, draws_left_out
from bcdl.worker.input_pipeline import InputPipeline

# For annotations in modules that must not import Keras.
Model: TypeAlias = keras.Model


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A cell that is ready to be trained and timed.

    Attributes:
        job: the job that it was made for.
        adapter: of the cell's backend, started by `session.start_backend`.
        dataset: the splits.
        model: gives, from images [B, S, S, 3] uint8 outputs [B, 2] float32; compiled, with its initial weights.
        pipeline: the training batches.
        class_weights: of the loss, (benign, malignant); None for equal ones.
    """

    job: Job
    adapter: Backend
    dataset: Dataset
    model: keras.Model
    pipeline: InputPipeline
    class_weights: list[float] | None = None

    @property
    def cell(self) -> Cell:
        return self.job.cell

    @property
    def images_per_epoch(self) -> int:
        """Images that an epoch trains on: as many as fill batches."""
        return self.pipeline.steps_per_epoch * self.cell.batch_size


def prepare(job: Job, adapter: Backend, dataset: Dataset | None = None) -> Prepared:
    """The job's cell, ready on the backend that was started; `dataset`, if given, replaces the data that the job names.

    Raises:
        UsageError: the data or the weights are missing or unusable, or a batch is larger than the training split.
        BcdlError: ImageNet weights can't be downloaded.
    """
    cell, dataset = job.cell, dataset or datasets.load(job.request)
    pipeline = InputPipeline(dataset.train, cell.batch_size, cell.seed, cell.augment)
    weights = training.class_weights(dataset.train.labels) if cell.class_weights else None
    return Prepared(job, adapter, dataset, build(job, weights), pipeline, weights)


def build(job: Job, class_weights: list[float] | None = None) -> keras.Model:
    """The job's model, compiled, every weight drawn by NumPy or loaded."""
    cell = job.cell
    source = job.weights_file or (None if cell.weights == "none" else cell.weights)
    with draws_left_out():
        model = network.build(find(cell.model), cell.image_size, cell.seed, source)
    loaded = next((layer.name for layer in model.layers if isinstance(layer, keras.Model)), None) if source else None
    draw_initial_weights(model, cell.seed, skip=loaded)
    batch_norm.prepare(model, cell.batch_norm)
    training.compile_model(model, cell, class_weights, cell.learning_rate)
    return model
