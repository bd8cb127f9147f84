"""What a job reads from outside, its data and its weights: as its run checked them, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from bcdl import datasets
from bcdl.datasets import Dataset
from bcdl.errors import BcdlError
from bcdl.machine import provenance
from bcdl.settings.job import Job

_SHOWN = 8  # letters of a checksum


class ChangedError(BcdlError):
    """What a job reads is no longer what its run checked."""


def load_data(job: Job, load: Callable[..., Dataset] = datasets.load) -> Dataset:
    """The job's data set, loaded by `load`, which takes a request and the folder of a pool that was handed over.

    Raises:
        ChangedError: it is not the data that the run checked for leaks.
        UsageError: it can't be read or used.
    """
    dataset = load(job.request, job.pool)
    if job.data_checksum and dataset.checksum != job.data_checksum:
        sizes = ", ".join(f"{len(part)} {name}" for name, part in dataset.splits.items())
        raise ChangedError(
            f"data changed since the run checked it: data set {dataset.name} now has {sizes} images and the checksum "
            f"{dataset.checksum[:_SHOWN]}, not {job.data_checksum[:_SHOWN]}; run this cell again on data that stays"
        )
    return dataset


def weights_checksum(job: Job) -> str | None:
    """SHA-256 of the file that the job's weights are loaded from; None if they are from no file.

    Raises:
        ChangedError: it is not the file that the run checked, or it is gone.
    """
    if not job.weights_file:
        return None
    try:
        checksum = provenance.sha256(job.weights_file)
    except OSError as error:
        raise ChangedError(f"weights changed since the run began: they can't be read ({error.strerror})") from error
    if job.weights_checksum and checksum != job.weights_checksum:
        raise ChangedError(
            f"weights changed since the run checked them: their file now has the checksum {checksum[:_SHOWN]}, "
            f"not {job.weights_checksum[:_SHOWN]}; run this cell again with weights that stay"
        )
    return checksum
