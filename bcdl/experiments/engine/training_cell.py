"""A cell that trains in this process, for the ways of an experiment. To be imported after its backend is started."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from bcdl.backends import Backend
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.worker import fitting, regimes, session
from bcdl.worker.clocks import Callback, EpochClock, wait_for_training
from bcdl.worker.input_pipeline import InputPipeline
from bcdl.worker.prepared import Model, Prepared, build, prepare

# An epoch that is timed takes at least so long, so that its first step matters little...
_LEAST_EPOCH_S = 2.0
# ... and has a multiple of so many steps, for ways that run several at once: Keras runs all of these in any case.
STEPS_TOGETHER = 4


@dataclasses.dataclass(frozen=True)
class TrainingCell:
    """A cell whose model is built, compiled and has run a step."""

    prepared: Prepared

    @classmethod
    def of(cls, job: Job, adapter: Backend) -> TrainingCell:
        """The job's cell on the backend that was started."""
        prepared = prepare(job, adapter)
        regimes.first_step(prepared)
        return cls(prepared)

    @property
    def job(self) -> Job:
        return self.prepared.job

    @property
    def cell(self) -> Cell:
        return self.prepared.cell

    @property
    def adapter(self) -> Backend:
        return self.prepared.adapter

    @property
    def images(self) -> int:
        """Images an epoch."""
        return self.prepared.images_per_epoch

    def with_model(self, model: Model) -> TrainingCell:
        """The same cell with another compiled model, that has then run a step."""
        other = dataclasses.replace(self.prepared, model=model)
        regimes.first_step(other)
        return TrainingCell(other)

    def with_settings(self, changed: Mapping[str, Any]) -> TrainingCell:
        """The same cell with other settings, built anew, that has then run a step.

        Raises UnsupportedError if the backend or the device lacks one of them.
        """
        job = dataclasses.replace(self.job, cell=dataclasses.replace(self.cell, **changed))
        session.apply_settings(self.adapter, job.cell)
        model = build(job, self.prepared.class_weights)
        return TrainingCell(dataclasses.replace(self.prepared, job=job)).with_model(model)

    def with_long_epochs(self) -> TrainingCell:
        """The same with training images repeated until an epoch takes `_LEAST_EPOCH_S`, by two that ran."""
        cell, together = self.cell, STEPS_TOGETHER * self.cell.batch_size
        least = max(self.images, _LEAST_EPOCH_S * self.images / min(self.epoch_s() for _ in range(2)))
        train = self.prepared.dataset.train.repeated(together * math.ceil(least / together))
        pipeline = InputPipeline(train, cell.batch_size, cell.seed, cell.augment, cell.zoom_range)
        return TrainingCell(dataclasses.replace(self.prepared, pipeline=pipeline))

    def epoch_s(self, *callbacks: Callback) -> float:
        """Seconds of one epoch of `fit` from its beginning to the end of its last step, by a clock of epochs alone.

        A clock around `fit` would time its end too: on TensorFlow that waits now and then, for as long as the epoch.
        """
        clock = EpochClock(self.adapter)
        self.fit(clock, *callbacks)
        return clock.seconds[0]

    def fit(self, *callbacks: Callback) -> None:
        """One epoch of `fit`, to the end of its last step."""
        session.apply_settings(self.adapter, self.cell)  # others may have run meanwhile
        fitting.run_epochs(self.prepared, 1, list(callbacks))
        wait_for_training(self.prepared.model, self.adapter)
