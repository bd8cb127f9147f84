"""What the cells of one model share in a process that measures no speed: the images, and the model, compiled once.

To a framework the model of another seed or fold is the same. What differs is its state, which is put back to what a
model built for the cell begins with, to the bit.
"""

from __future__ import annotations

import keras

from bcdl import datasets
from bcdl.backends import Backend
from bcdl.datasets import Dataset
from bcdl.settings.job import Job
from bcdl.worker import batch_norm, network, prepared, training
from bcdl.worker.initial_weights import draw_initial_weights
from bcdl.worker.prepared import Prepared
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
        return prepared.prepare(job, adapter, dataset, self._build)

    def _build(self, job: Job, class_weights: list[float] | None) -> keras.Model:
        """As `prepared.build`."""
        if self._built is None or self._built.job.process_key != job.process_key:
            self._built = _Built(job, class_weights)
        else:
            self._built.renew(job, class_weights)
        return self._built.model


class _Built:
    """A model that was built, and what it takes to make it as new for another job."""

    def __init__(self, job: Job, class_weights: list[float] | None) -> None:
        self.job = job
        self.model = prepared.build(job, class_weights)
        self._class_weights = class_weights
        self._loaded = prepared.loaded_backbone(self.model, job)
        self._weights = DiskSnapshot(self._loaded.variables) if self._loaded else None

    def renew(self, job: Job, class_weights: list[float] | None) -> None:
        """Give the model the state, and the loss, that `prepared.build` would give it for the job."""
        if self._weights:
            self._weights.restore()
        draw_initial_weights(self.model, job.cell.seed, skip=self._loaded)
        network.seed_dropout(self.model, job.cell.seed)
        if class_weights != self._class_weights:  # they are constants of the loss that was compiled
            training.compile_model(self.model, job.cell, class_weights, job.cell.learning_rate)
        batch_norm.rest(self.model)
        self.model.optimizer.learning_rate = job.cell.learning_rate
        self.model.reset_metrics()
        self.job, self._class_weights = job, class_weights
