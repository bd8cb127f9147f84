"""Data sets: named uint8 images, labels and patient groups, in train, val and test splits.

One file a source: a module of `bcdl.datasets.sources`.

Nothing here imports Keras, so that a driver can check data before it starts a worker.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from bcdl.datasets import sources, split
from bcdl.datasets.fingerprint import Looks
from bcdl.datasets.pool import LABELS, SPLITS, Pool
from bcdl.errors import UsageError

if TYPE_CHECKING:
    from bcdl.datasets.leaks import Duplicates, Leaks

__all__ = ["LABELS", "SPLITS", "Dataset", "Pool", "Request", "Split", "load", "name_of"]


@dataclasses.dataclass(frozen=True)
class Request:
    """What to load, and how.

    Attributes:
        data: the `--data` argument: a name, a folder or a file.
        image_size: height and width of the images wanted, pixels.
        split_seed: of the split, where the data is not split already.
        magnification: BreaKHis magnification to keep, or 0 for all.
        skip_unreadable: leave unreadable images out, counted, instead of failing.
        by_group: whether a split never cuts a group; where not, it is by image, and leaks.
        folds: of a cross-validation, or 0 for the single split.
        fold: which fold is the test set, from 0.
    """

    data: str
    image_size: int
    split_seed: int = 0
    magnification: int = 0
    skip_unreadable: bool = False
    by_group: bool = True
    folds: int = 0
    fold: int = 0


@dataclasses.dataclass(frozen=True)
class Split:
    """Images [N, S, S, 3] uint8, labels [N] int64 (1 is malignant), groups [N] and names [N] str."""

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def repeated(self, count: int) -> Split:
        """The first `count` images, or all of them over and over until there are so many."""
        chosen = np.arange(count) % len(self)
        return Split(self.images[chosen], self.labels[chosen], self.groups[chosen], self.names[chosen])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set ready to train on, with what a person should know of it in `notices`.

    `grouped` is whether its groups (patients) are known; where not, every image is a group of its own. `looks` gives
    the looks of what the source has, where a split does not have all of it.
    """

    name: str
    synthetic: bool
    train: Split
    val: Split
    test: Split
    notices: tuple[str, ...]
    grouped: bool = True
    looks: Callable[[], Looks] | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def splits(self) -> dict[str, Split]:
        return {name: getattr(self, name) for name in SPLITS}

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 over every split's pixels, labels, groups and names, in order."""
        digest = hashlib.sha256()
        for name, part in self.splits.items():
            digest.update(f"{name}{part.images.shape}".encode())
            digest.update(part.images.tobytes())
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
        """Which images are there twice, those that no split has included; found when first asked for."""
        from bcdl.datasets import leaks

        return leaks.find(self.looks() if self.looks else Looks.of(*self._all("images", "names", "labels")))

    def leaks(self, duplicates: Duplicates | None = None) -> Leaks:
        """What stands on both sides of the split; `duplicates` where another split of the same data has found them."""
        from bcdl.datasets import leaks

        names = {name: part.names.tolist() for name, part in self.splits.items()}
        groups = {name: part.groups.tolist() for name, part in self.splits.items()}
        return leaks.across(duplicates or self.duplicates, names, groups if self.grouped else None)

    def _all(self, *fields: str) -> list[np.ndarray]:
        return [np.concatenate([getattr(part, field) for part in self.splits.values()]) for field in fields]


def load(request: Request) -> Dataset:
    """The data set that `request.data` names, split; UsageError where it can't be had or used."""
    source = _source(request.data)
    pool = source.read(request)
    parts, notices = split.split(pool, request)
    return Dataset(
        name=pool.name,
        synthetic=pool.synthetic,
        notices=(*pool.notices, *notices),
        grouped=pool.grouped,
        looks=pool.looks,
        **{
            name: Split(pool.images[chosen], pool.labels[chosen], pool.groups[chosen], pool.names[chosen])
            for name, chosen in parts.items()
        },
    )


def name_of(data: str) -> str:
    """The name that records carry for the data set `--data` names; UsageError where nothing reads it."""
    name: str = _source(data).name_of(data)
    return name


def _source(data: str) -> ModuleType:
    found = next((source for source in sources.modules().values() if source.accepts(data)), None)
    if found is None:
        raise UsageError(
            f"no data set {data!r}: use synthetic, synthetic-COUNT, breastmnist, a folder of class folders "
            "(benign, malignant) or a MedMNIST .npz file that exists"
        )
    return found
