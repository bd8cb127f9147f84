"""What the cells of one model share in a process that measures no speed: the images, and the model, compiled once.

To a framework the model of another seed or fold is the same. What differs is its state, which is put back to what a
model built for the cell begins with, to the bit.
"""

from __future__ import annotations

import keras
import numpy as np

from bcdl import datasets
from bcdl.backends import Backend
from bcdl.datasets import Dataset
from bcdl.settings.job import Job
from bcdl.worker import network, prepared, training
from bcdl.worker.initial_weights import draw_initial_weights
from bcdl.worker.prepared import Models, Prepared
from bcdl.worker.snapshot import DiskSnapshot


class Shared:
    """Makes jobs ready one after the other, each as if it were alone in its process.

    Once a job has failed, what it has left is in no known state, and no other job may use it.

    Attributes:
        load: loads a job's data set.
    """

    def __init__(self) -> None:
        self.load = datasets.loader()
        self._built: _Built | None = None

    def prepare(self, job: Job, adapter: Backend, dataset: Dataset) -> Prepared:
        """The job's cell, ready, with the model of the job before if that may share a process with it.

        Raises: as `prepared.prepare`.
        """
        return prepared.prepare(job, adapter, dataset, self._models)

    def _models(self, job: Job, class_weights: list[float] | None) -> Models:
        if self._built is None or self._built.job.process_key != job.process_key:
            self._built = _Built(job, class_weights)
        else:
            self._built.renew(job, class_weights)
        return self._built.model, self._built.head


class _Built:
    """The models that were built for a job, and what it takes to make them as new for another."""

    def __init__(self, job: Job, class_weights: list[float] | None) -> None:
        self.job, self._class_weights = job, class_weights
        self.model = prepared.build(job, class_weights)
        self.head = prepared.build_head(self.model, job, class_weights)
        self._loaded = prepared.loaded_backbone(self.model, job)
        self._weights = DiskSnapshot(self._loaded.variables) if self._loaded else None

    def renew(self, job: Job, class_weights: list[float] | None) -> None:
        """Give the models the state, and the loss, that they would be built with for the job."""
        if self._weights:
            self._weights.restore()
        draw_initial_weights(self.model, job.cell.seed, skip=self._loaded)
        network.seed_dropout(self.model, job.cell.seed)
        same_loss = class_weights == self._class_weights  # the weights are constants of what was compiled
        rates = ((self.model, job.cell.learning_rate), (self.head, training.head_rate(job.cell)))
        for model, rate in rates:
            if model and same_loss:
                _restart(model, rate)
            elif model:
                training.compile_model(model, job.cell, class_weights, rate)
        self.job, self._class_weights = job, class_weights


def _restart(model: keras.Model, rate: float) -> None:
    """Give the optimizer and the metrics of a compiled model the state that they were compiled with."""
    for variable in model.optimizer.variables:  # the count of steps, and a slot or two a weight
        variable.assign(np.zeros(variable.shape, dtype=variable.dtype))
    model.optimizer.learning_rate = rate
    model.reset_metrics()
