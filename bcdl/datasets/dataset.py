"""A data set: the request that it is loaded by, its splits, its checksums, its duplicates and leaks."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bcdl.datasets.duplicates import Duplicates, find
from bcdl.datasets.fingerprint import Fingerprints
from bcdl.datasets.leaks import Leaks, across
from bcdl.datasets.mapped import take
from bcdl.datasets.pool import LABELS, SPLITS
from bcdl.datasets.private import Private


@dataclasses.dataclass(frozen=True)
class LabelsTable:
    """A table with a row for each image.

    Attributes:
        file: its path.
        image_column, label_column, group_column: the headers of its columns; an empty one is found by its usual names,
            and a group is optional.
    """

    file: str
    image_column: str = ""
    label_column: str = ""
    group_column: str = ""


@dataclasses.dataclass(frozen=True)
class Request:
    """What to load, and how.

    Attributes:
        data: the `--data` argument: a name, a folder or a file.
        image_size: height and width of the images wanted, pixels.
        split_seed: of the split, if the data is not split already.
        magnification: BreaKHis magnification to keep, or 0 for all.
        skip_unreadable: leave unreadable images out, counted, instead of failing.
        class_map: which names of folders, or labels of a table, mean which class, as `--class-map` takes it; empty if
            the names say it.
        labels: the table that says each image's class; None if folders do.
        grey_bits: the depth of grey images of more than 8 bits; 0 if it is to be found.
        by_group: whether a split never cuts a group; if it may, the split is by image, and leaks.
        folds: of a cross-validation, or 0 for the single split.
        fold: which fold is the test set, from 0.
    """

    data: str
    image_size: int
    split_seed: int = 0
    magnification: int = 0
    skip_unreadable: bool = False
    class_map: str = ""
    labels: LabelsTable | None = None
    grey_bits: int = 0
    by_group: bool = True
    folds: int = 0
    fold: int = 0

    @property
    def unsplit(self) -> Request:
        """The request of the same pool, whatever split is made of it: equal for all folds."""
        return dataclasses.replace(self, by_group=True, folds=0, fold=0)


@dataclasses.dataclass(frozen=True)
class Split:
    """Images [N, S, S, 3] uint8, labels [N] int64 (1 is malignant), groups [N] and names [N] str.

    `known` [N] bool says whether each image's group is known; if it is not, the image is a group of its own.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    names: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def group_count(self, kind: str) -> int:
        """How many groups have images of the class of that name."""
        return len(np.unique(self.groups[self.labels == LABELS[kind]]))

    def repeated(self, count: int) -> Split:
        """The first `count` images, or all of them over and over until there are so many."""
        chosen = np.arange(count) % len(self)
        return self.at(chosen)

    def at(self, chosen: np.ndarray) -> Split:
        """The images at these places."""
        return Split(*(take(getattr(self, field.name), chosen) for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set ready to train on.

    Attributes:
        name: as records carry it.
        synthetic: whether the images were drawn by a program.
        train, val, test: the splits.
        notices: what a person should know of it.
        rules, facts: as in `Pool`.
        fingerprints: computes the fingerprints of all images that the source has; None if the splits have all of them.
        looked_for: the duplicates that the source has looked for among all its images; None if it has not.
        private: as in `Pool`.
    """

    name: str
    synthetic: bool
    train: Split
    val: Split
    test: Split
    notices: tuple[str, ...]
    rules: int = 1
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprints: Callable[[], Fingerprints] | None = dataclasses.field(default=None, repr=False, compare=False)
    looked_for: Duplicates | None = dataclasses.field(default=None, repr=False, compare=False)
    private: Private | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def splits(self) -> dict[str, Split]:
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def grouped(self) -> bool:
        """Whether the group (patient) of every image is known."""
        return all(part.known.all() for part in self.splits.values())

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 over every split's pixels, labels, groups and names, in order, and the version of the rules.

        The first version counts in no checksum: what was recorded under it stays as it is.
        """
        digest = hashlib.sha256(f"rules {self.rules}".encode() if self.rules > 1 else b"")
        for name, part in self.splits.items():
            digest.update(f"{name}{part.images.shape}".encode())
            digest.update(np.ascontiguousarray(part.images).data)  # its bytes, not copied
            digest.update(part.labels.astype("<i8").tobytes())
            digest.update("\n".join([*part.groups, *part.names]).encode())
        return digest.hexdigest()

    @functools.cached_property
    def images_checksum(self) -> str:
        """SHA-256 over every image's name, label, group and pixels, whatever the split it stands in."""
        lines = [
            f"{name}\0{label}\0{group}\0{hashlib.sha256(image.tobytes()).hexdigest()}"
            for part in self.splits.values()
            for image, label, group, name in zip(part.images, part.labels, part.groups, part.names, strict=True)
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    @functools.cached_property
    def duplicates(self) -> Duplicates:
        """Which images the source has twice, those that no split has included; computed when first asked for."""
        if self.looked_for:
            return self.looked_for
        fingerprints = self.fingerprints() if self.fingerprints else None
        return find(fingerprints or Fingerprints.of(*self._all("images", "names", "labels")))

    def leaks(self, duplicates: Duplicates | None = None) -> Leaks:
        """What stands on both sides of the split; `duplicates` of the same data, if another split has them already."""
        names = {name: part.names.tolist() for name, part in self.splits.items()}
        groups = {name: part.groups[part.known].tolist() for name, part in self.splits.items()}
        return across(duplicates or self.duplicates, names, groups)

    def _all(self, *fields: str) -> list[np.ndarray]:
        return [np.concatenate([getattr(part, field) for part in self.splits.values()]) for field in fields]
