"""What a source hands over: all its images at one size, with what it knows of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from bcdl.datasets.fingerprint import Fingerprints

LABELS = {"benign": 0, "malignant": 1}
CLASSES = tuple(LABELS)  # by label
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Pool:
    """A source's images before they are split.

    Attributes:
        name: the data set's name, as records carry it.
        synthetic: whether the images were drawn by a program.
        images: [N, S, S, 3] uint8.
        labels: [N] int64, 0 benign and 1 malignant.
        groups: [N] str; images of one group (a patient) are never cut by a split.
        names: [N] str, each image's name within the data set; never a path outside it.
        given: [N] str, the split the source itself assigns (`train`, `val`, `test`), or None.
        grouped: whether `groups` says more than one group an image.
        notices: what a person should know: classes left out, groups dropped, files skipped.
        fingerprints: gives those of all that the source has, dropped images included; None if `images` are all it has.
    """

    name: str
    synthetic: bool
    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    names: np.ndarray
    given: np.ndarray | None = None
    grouped: bool = True
    notices: tuple[str, ...] = ()
    fingerprints: Callable[[], Fingerprints] | None = None
