"""Leaks: images that are in a data set twice, and what of them and of its groups stands on both sides of a split.

Every image that a source has is looked at, before groups that mix classes are dropped. Two images are identical where
all their pixels are, and near-identical where they are nearly the same picture (`bcdl.alike` says how that is told).
Pictures under 24 pixels, margins apart, are told identical alone: BUSI scaled down to 28 pixels still shows its copies
and nothing else, at 20 different pictures begin to agree.

    python -m bcdl.datasets.leaks FOLDER

tells what is found among all images of a folder of class folders, held against its `groups.csv` where there is one.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcdl.datasets.decode import read_looks
from bcdl.datasets.fingerprint import Looks
from bcdl.datasets.pool import LABELS
from bcdl.datasets.sources.folder import GROUPS_FILE, image_files, read_table
from bcdl.errors import UsageError, run_command

LEAST_SIDE = 24  # pixels
_LISTED = 200  # names that a record holds of each kind; counts are whole
_SHOWN = 5  # lists that a notice names

Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """What a data set has twice. Each list holds names, two or more.

    Attributes:
        images: how many were looked at.
        compared: how many of them are large enough for near-identical ones to be told.
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
        groups: splits by group (patient), of those that stand in two or more; None where no groups are known.
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
        found = self.duplicates
        kinds = ("identical", "near", "conflicting", "near_conflicting")
        return {
            "clean": self.clean,
            "notices": self.notices(),
            "images": found.images,
            "compared": found.compared,
            **{kind: _listed(getattr(found, kind), len) for kind in kinds},
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
            told = f"; {copied} have a copy in train" if copied else ""
            lines.append(f"LEAK: {_count(self.near, 'near-identical images')} in two splits{told}: {_name(self.near)}")
        if self.groups:
            named = _short(f"{group} ({', '.join(held)})" for group, held in self.groups.items())
            lines.append(f"LEAK: {len(self.groups)} groups in two splits: {named}")
        if self.conflicting:
            lines.append(f"LEAK: identical images with different labels: {_short(map(' = '.join, self.conflicting))}")
        if not self.clean:
            lines.append(f"give images of one list one group in {GROUPS_FILE}, or remove all but one of them")
        return lines + self._harmless()

    def _harmless(self) -> list[str]:
        found = self.duplicates
        lines = [
            f"{len(lists)} lists of {kind} images in the data set ({sum(map(len, lists))} images)"
            for kind, lists in (("identical", found.identical), ("near-identical", found.near))
            if lists
        ]
        dropped = [names for names in found.conflicting if names not in self.conflicting]
        if dropped:
            lines.append(f"identical images with different labels, in no split: {_short(map(' = '.join, dropped))}")
        if found.near_conflicting:
            named = _short(map(" ~ ".join, found.near_conflicting))
            lines.append(f"{len(found.near_conflicting)} lists of near-identical images differ in label: {named}")
        if found.compared < found.images:
            small = found.images - found.compared
            lines.append(f"{small} images under {LEAST_SIDE} pixels are too small to tell near-identical ones")
        return lines


def find(looks: Looks) -> Duplicates:
    """What is there twice: seconds for a thousand images, and memory for N images of 50 KB each."""
    from bcdl.datasets import near_duplicates

    names, labels = looks.names.tolist(), dict(zip(looks.names.tolist(), looks.labels.tolist(), strict=True))
    identical = _lists(names, looks.images["sha256"].tolist())
    # One image stands for all that are identical to it.
    _, firsts, copies = np.unique(looks.images["sha256"], return_index=True, return_inverse=True)
    large = looks.images["side"][firsts] >= LEAST_SIDE
    clusters = np.arange(len(firsts))
    clusters[large] = len(firsts) + near_duplicates.clusters(looks.images["grey"][firsts[large]])
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
        groups: the group of each of them, in the same order; None where no groups are known.
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
    found: dict[Hashable, list[str]] = collections.defaultdict(list)
    for name, key in zip(names, keys, strict=True):
        if key is not None:
            found[key].append(name)
    return tuple(tuple(sharing) for sharing in found.values() if len(sharing) > 1)


def _conflicting(lists: Iterable[Names], labels: Mapping[str, Hashable]) -> tuple[Names, ...]:
    return tuple(names for names in lists if len({labels[name] for name in names}) > 1)


def _by_split(names: Names, split_of: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        if name in split_of:
            found.setdefault(split_of[name], []).append(name)
    return found


def _leaking(lists: Iterable[Names], split_of: Mapping[str, str]) -> tuple[dict[str, list[str]], ...]:
    return tuple(held for held in (_by_split(names, split_of) for names in lists) if len(held) > 1)


def _size(by_split: Mapping[str, Sequence[str]]) -> int:
    return sum(map(len, by_split.values()))


def _listed(lists: Sequence[Any], size: Any) -> dict[str, Any]:
    """How many lists and images there are, and the lists until they hold 200 names."""
    ends = np.cumsum([size(one) for one in lists], dtype=int)
    return {
        "count": len(lists),
        "images": int(ends[-1]) if len(ends) else 0,
        "listed": [one for one, end in zip(lists, ends, strict=True) if end <= _LISTED],
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bcdl.datasets.leaks", description="What is in a data set twice.")
    parser.add_argument("folder", type=Path, help="folder of class folders, with or without a groups.csv")
    root = parser.parse_args().folder
    files = image_files(root) if root.is_dir() else []
    if not files:
        raise UsageError(f"{str(root)!r} is no folder with images in it")
    found, readable = read_looks(files)
    names = np.array([file.relative_to(root).as_posix() for file in files])[readable]
    duplicates = find(Looks(found, names, np.array([file.parent.name.lower() for file in files])[readable]))
    print(f"{duplicates.images} images, {duplicates.compared} of them large enough to tell near-identical ones")
    for title, lists in (
        ("identical", duplicates.identical),
        ("near-identical", duplicates.near),
        ("identical, with different labels", duplicates.conflicting),
        ("near-identical, with different labels", duplicates.near_conflicting),
    ):
        _print(title, lists)
    if (root / GROUPS_FILE).is_file():
        rows = [row for row in read_table(root / GROUPS_FILE) if row["path"] in set(names)]
        _print_recovery("all classes", duplicates, rows)
        _print_recovery(" and ".join(LABELS), duplicates, [row for row in rows if row["class"] in LABELS])
    return 0


def _print(title: str, lists: Sequence[Names]) -> None:
    print(f"\n{title}: {len(lists)} lists, {sum(map(len, lists))} images")
    for names in lists:
        print(f"  {', '.join(names)}")


def _print_recovery(title: str, duplicates: Duplicates, rows: Sequence[Mapping[str, str]]) -> None:
    recovery = recover(duplicates.clusters, {row["path"]: row["group"] for row in rows})
    whole = recovery.groups - len(recovery.missed)
    print(
        f"\n{title}: of {recovery.groups} groups of two images or more in {GROUPS_FILE}, {whole} are in one list whole"
    )
    _print("  groups that are not", recovery.missed)
    _print("  lists that hold several groups", recovery.merged)


if __name__ == "__main__":
    run_command(main)
