"""Leaks: images that are in a data set twice, and what of them and of its groups stands on both sides of a split.

Every image that a source has is looked at, before groups that mix classes are dropped. Two images are identical if
all their pixels are, and near-identical if they are nearly the same picture (`bcdl.datasets.near_duplicates` says how).
Of pictures under 24 pixels, margins apart, only identical ones are reported: BUSI scaled down to 28 pixels still shows
its copies and nothing else, at 20 different pictures begin to agree.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bcdl.datasets.fingerprint import Fingerprints
from bcdl.datasets.sources.folder import GROUPS_FILE

LEAST_SIDE = 24  # pixels
_LISTED = 200  # names that a record holds of each kind; counts are whole
_SHOWN = 5  # lists that a notice names

Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """What a data set has twice. Each list holds names, two or more.

    Attributes:
        images: how many were looked at.
        compared: how many of them are large enough to be compared for near-identical ones.
        identical: images all of whose pixels are the same.
        near: images that are nearly the same picture, each near to another of its list; identical ones among them.
        conflicting: those of `identical` whose labels differ.
        near_conflicting: those of `near` whose labels differ.
    """

    images: int
    compared: int
    identical: tuple[Names, ...]
    near: tuple[Names, ...]
    conflicting: tuple[Names, ...]
    near_conflicting: tuple[Names, ...]

    @property
    def clusters(self) -> list[Names]:
        """Every list of images that are the same picture or nearly, none in two."""
        within = {name for names in self.near for name in names}
        return [*self.near, *(names for names in self.identical if names[0] not in within)]


@dataclasses.dataclass(frozen=True)
class Leaks:
    """What stands on both sides of a split.

    Attributes:
        duplicates: of the whole data set.
        identical, near: their lists that stand in two splits or more, as names by split.
        groups: splits by group (patient), of those that stand in two or more; None if no groups are known.
        conflicting: lists of identical images with different labels that splits hold.
        copied: by split but train, how many of its images have a copy, identical or near, in train.
    """

    duplicates: Duplicates
    identical: tuple[dict[str, list[str]], ...]
    near: tuple[dict[str, list[str]], ...]
    groups: dict[str, list[str]] | None
    conflicting: tuple[Names, ...]
    copied: dict[str, int]

    @property
    def clean(self) -> bool:
        """Whether no image and no group stands on both sides, and no image has two labels."""
        return not (self.identical or self.near or self.groups or self.conflicting)

    def facts(self) -> dict[str, Any]:
        """For a record: whole counts, and the first 200 names of each kind."""
        duplicates = self.duplicates
        kinds = ("identical", "near", "conflicting", "near_conflicting")
        return {
            "clean": self.clean,
            "notices": self.notices(),
            "images": duplicates.images,
            "compared": duplicates.compared,
            **{kind: _listed(getattr(duplicates, kind), len) for kind in kinds},
            "across": {
                "identical": _listed(self.identical, _size),
                "near": _listed(self.near, _size),
                "groups": None if self.groups is None else _listed(list(self.groups.items()), lambda _: 1),
                "conflicting": _listed(self.conflicting, len),
                "copied": self.copied,
            },
        }

    def notices(self) -> list[str]:
        """What a person should know: a line for each kind of leak, and one for what does not leak."""
        lines = []
        if self.identical:
            lines.append(f"LEAK: {_count(self.identical, 'identical images')} in two splits: {_name(self.identical)}")
        if self.near:
            copied = " and ".join(f"{count} of {name}" for name, count in self.copied.items() if count)
            copies = f"; {copied} have a copy in train" if copied else ""
            lines.append(
                f"LEAK: {_count(self.near, 'near-identical images')} in two splits{copies}: {_name(self.near)}"
            )
        if self.groups:
            named = _short(f"{group} ({', '.join(held)})" for group, held in self.groups.items())
            lines.append(f"LEAK: {len(self.groups)} groups in two splits: {named}")
        if self.conflicting:
            lines.append(f"LEAK: identical images with different labels: {_short(map(' = '.join, self.conflicting))}")
        if not self.clean:
            lines.append(f"give images of one list one group in {GROUPS_FILE}, or remove all but one of them")
        return lines + self._harmless()

    def _harmless(self) -> list[str]:
        duplicates = self.duplicates
        lines = [
            f"{len(lists)} lists of {kind} images in the data set ({sum(map(len, lists))} images)"
            for kind, lists in (("identical", duplicates.identical), ("near-identical", duplicates.near))
            if lists
        ]
        dropped = [names for names in duplicates.conflicting if names not in self.conflicting]
        if dropped:
            lines.append(f"identical images with different labels, in no split: {_short(map(' = '.join, dropped))}")
        if duplicates.near_conflicting:
            named = _short(map(" ~ ".join, duplicates.near_conflicting))
            lines.append(f"{len(duplicates.near_conflicting)} lists of near-identical images differ in label: {named}")
        if duplicates.compared < duplicates.images:
            small = duplicates.images - duplicates.compared
            lines.append(f"{small} images under {LEAST_SIDE} pixels are too small to tell near-identical ones")
        return lines


def find(fingerprints: Fingerprints) -> Duplicates:
    """What is there twice: seconds for a thousand images, and memory for N images of 50 KB each."""
    from bcdl.datasets import near_duplicates

    names, labels = (
        fingerprints.names.tolist(),
        dict(zip(fingerprints.names.tolist(), fingerprints.labels.tolist(), strict=True)),
    )
    identical = _lists(names, fingerprints.images["sha256"].tolist())
    # One image stands for all that are identical to it.
    _, firsts, copies = np.unique(fingerprints.images["sha256"], return_index=True, return_inverse=True)
    large = fingerprints.images["side"][firsts] >= LEAST_SIDE
    clusters = np.arange(len(firsts))
    clusters[large] = len(firsts) + near_duplicates.clusters(fingerprints.images["grey"][firsts[large]])
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


def across(
    duplicates: Duplicates, splits: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]] | None
) -> Leaks:
    """What of `duplicates`, and which groups, stand on both sides of a split.

    Args:
        duplicates: of the whole data set; images that no split has do not count.
        splits: the names of each split's images.
        groups: the group of each of them, in the same order; None if no groups are known.
    """
    split_of = {name: split for split, names in splits.items() for name in names}
    by_split = [_by_split(names, split_of) for names in duplicates.clusters]
    standing: dict[str, list[str]] = {}
    for split, members in (groups or {}).items():
        for group in dict.fromkeys(members):
            standing.setdefault(group, []).append(split)
    return Leaks(
        duplicates=duplicates,
        identical=_leaking(duplicates.identical, split_of),
        near=_leaking(duplicates.near, split_of),
        groups=None if groups is None else {group: held for group, held in standing.items() if len(held) > 1},
        conflicting=tuple(names for names in duplicates.conflicting if any(name in split_of for name in names)),
        copied={
            split: sum(len(held.get(split, [])) for held in by_split if "train" in held)
            for split in splits
            if split != "train"
        },
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


def _by_split(names: Names, split_of: Mapping[str, str]) -> dict[str, list[str]]:
    by_split: dict[str, list[str]] = {}
    for name in names:
        if name in split_of:
            by_split.setdefault(split_of[name], []).append(name)
    return by_split


def _leaking(lists: Iterable[Names], split_of: Mapping[str, str]) -> tuple[dict[str, list[str]], ...]:
    return tuple(held for held in (_by_split(names, split_of) for names in lists) if len(held) > 1)


def _size(by_split: Mapping[str, Sequence[str]]) -> int:
    return sum(map(len, by_split.values()))


def _listed(lists: Sequence[Any], size: Any) -> dict[str, Any]:
    """How many lists and images there are, and the lists until they hold 200 names."""
    ends = np.cumsum([size(names) for names in lists], dtype=int)
    return {
        "count": len(lists),
        "images": int(ends[-1]) if len(ends) else 0,
        "listed": [names for names, end in zip(lists, ends, strict=True) if end <= _LISTED],
    }


def _count(lists: Sequence[Mapping[str, Sequence[str]]], kind: str) -> str:
    return f"{len(lists)} lists of {kind} ({sum(map(_size, lists))} images)"


def _name(lists: Sequence[Mapping[str, Sequence[str]]]) -> str:
    sides = (" ~ ".join(f"{name} ({split})" for split, names in held.items() for name in names) for held in lists)
    return _short(sides)


def _short(items: Iterable[str]) -> str:
    every = list(items)
    return "; ".join(every[:_SHOWN]) + (f"; and {len(every) - _SHOWN} more" if len(every) > _SHOWN else "")


@dataclasses.dataclass(frozen=True)
class Recovery:
    """Lists of duplicates held against groups that are known.

    Attributes:
        groups: how many have two images or more.
        missed: those of them that no one list holds whole.
        merged: lists that hold images of two groups or more.
    """

    groups: int
    missed: list[Names]
    merged: list[Names]


def recover(clusters: Sequence[Names], group_of: Mapping[str, str]) -> Recovery:
    """How far the lists give back the groups of those images that `group_of` has."""
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
