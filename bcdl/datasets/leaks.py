"""Leaks: which duplicates and which groups of a data set stand on both sides of a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bcdl.datasets.duplicates import LEAST_SIDE, Duplicates, Names
from bcdl.datasets.pool import GROUPS_FILE
from bcdl.text import first_few

_LISTED = 200  # names of each kind that a record holds; its counts are of all

BySplit = dict[str, list[str]]  # names of images, by the split that they stand in


@dataclasses.dataclass(frozen=True)
class Leaks:
    """The images and groups that stand on both sides of a split.

    Attributes:
        duplicates: of the whole data set.
        identical, near: those of its lists that stand in two splits or more.
        groups: the known groups (patients) that stand in two splits or more, with these; None if none is known.
        conflicting, near_conflicting: lists of identical, or near-identical, images with different labels, at least one
            of which stands in a split.
        copied: by split, train left out, how many of its images have a copy in train, identical or near.
        images: how many images all splits have.
        ungrouped: of how many of them the group is not known, so that it was not looked for on the other side.
    """

    duplicates: Duplicates
    identical: tuple[BySplit, ...]
    near: tuple[BySplit, ...]
    groups: dict[str, list[str]] | None
    conflicting: tuple[Names, ...]
    near_conflicting: tuple[Names, ...]
    copied: dict[str, int]
    images: int
    ungrouped: int

    @property
    def clean(self) -> bool:
        """Whether no image and no group that could be looked for is on both sides, and no image has two labels."""
        return not (self.identical or self.near or self.groups or self.conflicting)

    def renamed(self, rename: Callable[[str], str]) -> Leaks:
        """The same leaks of images and groups of other names."""

        def lists(several: Iterable[Names]) -> tuple[Names, ...]:
            return tuple(tuple(map(rename, names)) for names in several)

        def by_split(several: Iterable[BySplit]) -> tuple[BySplit, ...]:
            return tuple({split: list(map(rename, names)) for split, names in held.items()} for held in several)

        return dataclasses.replace(
            self,
            duplicates=dataclasses.replace(
                self.duplicates,
                identical=lists(self.duplicates.identical),
                near=lists(self.duplicates.near),
                conflicting=lists(self.duplicates.conflicting),
                near_conflicting=lists(self.duplicates.near_conflicting),
            ),
            identical=by_split(self.identical),
            near=by_split(self.near),
            groups=None if self.groups is None else {rename(group): held for group, held in self.groups.items()},
            conflicting=lists(self.conflicting),
            near_conflicting=lists(self.near_conflicting),
        )

    def facts(self) -> dict[str, Any]:
        """What a record holds, as JSON values: whole counts, and the first 200 names of each kind."""
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
        """What a person should know: a line for each kind of leak, then a line for each kind that does no harm."""
        lines = []
        if self.identical:
            lines.append(f"LEAK: {_count(self.identical, 'identical images')} in two splits: {_name(self.identical)}")
        if self.near:
            copied = " and ".join(f"{count} of {split}" for split, count in self.copied.items() if count)
            copies = f"; {copied} have a copy in train" if copied else ""
            lines.append(
                f"LEAK: {_count(self.near, 'near-identical images')} in two splits{copies}: {_name(self.near)}"
            )
        if self.groups:
            named = first_few(f"{group} ({', '.join(splits)})" for group, splits in self.groups.items())
            lines.append(f"LEAK: {len(self.groups)} groups in two splits: {named}")
        if self.conflicting:
            named = first_few(map(" = ".join, self.conflicting))
            lines.append(f"LEAK: identical images with different labels: {named}")
        if not self.clean:
            lines.append(f"give images of one list one group in {GROUPS_FILE}, or remove all but one of them")
        return lines + self.unchecked() + self._harmless()

    def unchecked(self) -> list[str]:
        """What could not be looked at, a line each; the first says what else was, if nothing was found."""
        small = self.duplicates.images - self.duplicates.compared
        lines = []
        if self.ungrouped:
            lines.append(f"patients: not known for {self.ungrouped} of {self.images} images, so not checked")
        if small:
            lines.append(
                f"near-identical images: {small} images under {LEAST_SIDE} pixels are too small to tell, so not checked"
            )
        if lines and self.clean:
            kinds = "identical" if not self.duplicates.compared else "identical or near-identical"
            lines[0] = f"no {kinds} images in two splits; {lines[0]}"
        return lines

    def _harmless(self) -> list[str]:
        """What is twice in the data set, but not on both sides of the split."""
        duplicates = self.duplicates
        lines = [
            f"{len(lists)} lists of {kind} images in the data set ({sum(map(len, lists))} images)"
            for kind, lists in (("identical", duplicates.identical), ("near-identical", duplicates.near))
            if lists
        ]
        if left_out := [names for names in duplicates.conflicting if names not in self.conflicting]:
            lines.append(f"identical images with different labels, in no split: {first_few(map(' = '.join, left_out))}")
        near_left_out = [names for names in duplicates.near_conflicting if names not in self.near_conflicting]
        for lists, where in ((self.near_conflicting, ""), (near_left_out, ", in no split")):
            if lists:
                named = first_few(map(" ~ ".join, lists))
                lines.append(f"{len(lists)} lists of near-identical images differ in label{where}: {named}")
        return lines


def across(
    duplicates: Duplicates, splits: Mapping[str, Sequence[str]], groups: Mapping[str, Sequence[str]] | None
) -> Leaks:
    """Which of the duplicates, and which groups, stand on both sides of a split.

    Args:
        duplicates: of the whole data set; images that no split has do not count.
        splits: the names of each split's images.
        groups: by split, the groups of those of its images whose group is known; None if no group is known.
    """
    images = sum(map(len, splits.values()))
    grouped = sum(map(len, (groups or {}).values()))
    split_of = {name: split for split, names in splits.items() for name in names}
    by_split = [_by_split(names, split_of) for names in duplicates.clusters]
    splits_of: dict[str, list[str]] = {}
    for split, members in (groups or {}).items():
        for group in dict.fromkeys(members):
            splits_of.setdefault(group, []).append(split)
    return Leaks(
        duplicates=duplicates,
        identical=_leaking(duplicates.identical, split_of),
        near=_leaking(duplicates.near, split_of),
        groups={group: held for group, held in splits_of.items() if len(held) > 1} if grouped else None,
        conflicting=_standing(duplicates.conflicting, split_of),
        near_conflicting=_standing(duplicates.near_conflicting, split_of),
        copied={
            split: sum(len(held.get(split, [])) for held in by_split if "train" in held)
            for split in splits
            if split != "train"
        },
        images=images,
        ungrouped=images - grouped,
    )


def _by_split(names: Names, split_of: Mapping[str, str]) -> BySplit:
    by_split: BySplit = {}
    for name in names:
        if name in split_of:
            by_split.setdefault(split_of[name], []).append(name)
    return by_split


def _leaking(lists: Iterable[Names], split_of: Mapping[str, str]) -> tuple[BySplit, ...]:
    """The lists that stand in two splits or more."""
    return tuple(held for held in (_by_split(names, split_of) for names in lists) if len(held) > 1)


def _standing(lists: Iterable[Names], split_of: Mapping[str, str]) -> tuple[Names, ...]:
    """The lists of which at least one image stands in a split."""
    return tuple(names for names in lists if any(name in split_of for name in names))


def _size(by_split: BySplit) -> int:
    return sum(map(len, by_split.values()))


def _listed(lists: Sequence[Any], size: Callable[[Any], int]) -> dict[str, Any]:
    """How many lists and images there are, and the first lists, as many as hold 200 names together."""
    ends = np.cumsum([size(names) for names in lists], dtype=int)
    return {
        "count": len(lists),
        "images": int(ends[-1]) if len(ends) else 0,
        "listed": [names for names, end in zip(lists, ends, strict=True) if end <= _LISTED],
    }


def _count(lists: Sequence[BySplit], kind: str) -> str:
    return f"{len(lists)} lists of {kind} ({sum(map(_size, lists))} images)"


def _name(lists: Sequence[BySplit]) -> str:
    sides = (" ~ ".join(f"{name} ({split})" for split, names in held.items() for name in names) for held in lists)
    return first_few(sides)
