"""Makes a cell ready in this process: its data, its model and its input pipeline. Nothing else does so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import keras

from bcdl.backends import Backend
from bcdl.datasets import Dataset
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.models import find, with_pixels
from bcdl.worker import batch_norm, network, training
from bcdl.worker.initial_weights import draw_initial_weights, draws_left_out
from bcdl.worker.input_pipeline import InputPipeline
from bcdl.worker.inputs import load_data

# For annotations in modules that must not import Keras.
Model: TypeAlias = keras.Model
# A model, and the same compiled to train its head alone, or None.
Models = tuple[keras.Model, keras.Model | None]
# Builds a job's models, for a loss with these class weights.
BuildModels = Callable[[Job, list[float] | None], Models]


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
        head: the same model, compiled to train its head alone; None if the cell does not ask for that.
    """

    job: Job
    adapter: Backend
    dataset: Dataset
    model: keras.Model
    pipeline: InputPipeline
    class_weights: list[float] | None = None
    head: keras.Model | None = None

    @property
    def cell(self) -> Cell:
        return self.job.cell

    @property
    def images_per_epoch(self) -> int:
        """Images that an epoch trains on: as many as fill batches."""
        return self.pipeline.steps_per_epoch * self.cell.batch_size

    def batches(self) -> Any:
        """The training batches as `fit` takes them, on the way to the device that the cell's `input_transfer` says."""
        prefetched = self.cell.input_transfer == "prefetched"
        return (self.adapter.prefetch if prefetched else self.adapter.stream)(self.pipeline.stream())


def prepare(
    job: Job, adapter: Backend, dataset: Dataset | None = None, build_models: BuildModels | None = None
) -> Prepared:
    """The job's cell, ready on the backend that was started.

    Args:
        job: what to make ready.
        adapter: of the cell's backend.
        dataset: replaces the data that the job names, if given.
        build_models: builds the model, and its head if that is trained alone; `build` and `build_head` if not given.

    Raises:
        UsageError: the data or the weights are missing or unusable, or a batch is larger than the training split.
        BcdlError: ImageNet weights can't be downloaded.
    """
    cell, dataset = job.cell, dataset or load_data(job)
    pipeline = InputPipeline(dataset.train, cell.batch_size, cell.seed, cell.augment, cell.zoom_range)
    weights = training.class_weights(dataset.train.labels) if cell.class_weights else None
    model, head = (build_models or _build_models)(job, weights)
    return Prepared(job, adapter, dataset, model, pipeline, weights, head)


def _build_models(job: Job, class_weights: list[float] | None) -> Models:
    model = build(job, class_weights)
    return model, build_head(model, job, class_weights)


def build(job: Job, class_weights: list[float] | None = None) -> keras.Model:
    """The job's model, compiled, every weight drawn by NumPy or loaded."""
    cell = job.cell
    with draws_left_out():
        row = with_pixels(find(cell.model), cell.preprocessing)
        model = network.build(row, cell.image_size, cell.seed, _source(job), cell.data_format)
    draw_initial_weights(model, cell.seed, skip=loaded_backbone(model, job))
    batch_norm.prepare(model, cell.batch_norm)
    training.compile_model(model, cell, class_weights, cell.learning_rate)
    return model


def build_head(model: keras.Model, job: Job, class_weights: list[float] | None = None) -> keras.Model | None:
    """The job's model once more, compiled to train its head alone; None if the job does not ask for that.

    Both have the same layers, and each its own compiled functions and optimizer, so that none is compiled twice.
    """
    if not job.cell.head_epochs:
        return None
    head = keras.Model(model.inputs, model.outputs, name=model.name)
    training.compile_model(head, job.cell, class_weights, training.head_rate(job.cell))
    return head


def loaded_backbone(model: keras.Model, job: Job) -> keras.Model | None:
    """The backbone of the job's model, if its weights were loaded."""
    backbones = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return next(backbones, None) if _source(job) else None


def _source(job: Job) -> str | None:
    """What the weights of the backbone are loaded from; None if they are drawn."""
    return job.weights_file or (None if job.cell.weights == "none" else job.cell.weights)
