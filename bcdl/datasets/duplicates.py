"""Duplicates: images that a data set has twice, and how well they agree with groups that are known.

All images of both classes are examined, before those under both labels are left out. Two images are identical if all
their pixels are, and near-identical if they are nearly the same picture (`bcdl.datasets.near_duplicates` says how). Of
pictures under 24 pixels, margins apart, only identical ones are reported: BUSI scaled down to 28 pixels still shows its
copies and nothing else, at 20 different pictures begin to agree.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from bcdl.datasets.fingerprint import Fingerprints

LEAST_SIDE = 24  # pixels

Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """The images that a data set has twice or more often, as lists of two names or more.

    Attributes:
        images: how many images were examined.
        compared: how many of them are large enough to be compared for near-identical ones.
        identical: lists of images all of whose pixels are the same.
        near: lists of images that are nearly the same picture, each near to another of its list; identical ones among
            them.
        conflicting: the lists of `identical` in which labels differ.
        near_conflicting: the lists of `near` in which labels differ.
    """

    images: int
    compared: int
    identical: tuple[Names, ...]
    near: tuple[Names, ...]
    conflicting: tuple[Names, ...]
    near_conflicting: tuple[Names, ...]

    @property
    def clusters(self) -> list[Names]:
        """Every list of images that are the same picture or nearly; no image is in two of them."""
        in_near = {name for names in self.near for name in names}
        return [*self.near, *(names for names in self.identical if names[0] not in in_near)]


def find(fingerprints: Fingerprints) -> Duplicates:
    """The images that are there twice: as `near_duplicates` finds them."""
    from bcdl.datasets import near_duplicates  # here: it imports OpenCV, which takes long

    names, marks = fingerprints.names.tolist(), fingerprints.images.marks
    labels = dict(zip(names, fingerprints.labels.tolist(), strict=True))
    identical = _lists(names, marks["sha256"].tolist())
    # One image stands for all that are identical to it.
    _, firsts, copies = np.unique(marks["sha256"], return_index=True, return_inverse=True)
    large = marks["side"][firsts] >= LEAST_SIDE
    clusters = np.arange(len(firsts))
    clusters[large] = len(firsts) + near_duplicates.clusters_of(fingerprints.images, firsts[large])
    sizes = np.bincount(clusters)
    near = _lists(names, [cluster if sizes[cluster] > 1 else None for cluster in clusters[copies].tolist()])
    return Duplicates(
        images=len(names),
        compared=int(large[copies].sum()),
        identical=identical,
        near=near,
        conflicting=_conflicting(identical, labels),
        near_conflicting=_conflicting(near, labels),
    )


def _lists(names: Sequence[str], keys: Sequence[Hashable | None]) -> tuple[Names, ...]:
    """The names that share a key with another; a key of None is shared with none."""
    by_key: dict[Hashable, list[str]] = collections.defaultdict(list)
    for name, key in zip(names, keys, strict=True):
        if key is not None:
            by_key[key].append(name)
    return tuple(tuple(sharing) for sharing in by_key.values() if len(sharing) > 1)


def _conflicting(lists: Iterable[Names], labels: Mapping[str, Hashable]) -> tuple[Names, ...]:
    return tuple(names for names in lists if len({labels[name] for name in names}) > 1)


@dataclasses.dataclass(frozen=True)
class Recovery:
    """How well lists of duplicates agree with groups that are known, as a `groups.csv` gives them.

    Attributes:
        groups: how many groups have two images or more.
        missed: the names of each of these groups that no single list holds whole.
        merged: the lists that hold images of two groups or more.
    """

    groups: int
    missed: list[Names]
    merged: list[Names]


def recover(clusters: Sequence[Names], group_of: Mapping[str, str]) -> Recovery:
    """How well the lists agree with the groups of those images that `group_of` names."""
    members: dict[str, list[str]] = collections.defaultdict(list)
    for name, group in group_of.items():
        members[group].append(name)
    list_of = {name: number for number, names in enumerate(clusters) for name in names}
    several = [tuple(names) for names in members.values() if len(names) > 1]
    return Recovery(
        groups=len(several),
        missed=[names for names in several if len({list_of.get(name, name) for name in names}) > 1],
        merged=[names for names in clusters if len({group_of[name] for name in names if name in group_of}) > 1],
    )
