"""On how few images or groups (patients) of a class a figure rests, if on fewer than five.

**The rule.** A figure of a split is marked if the split has fewer than `FEW` images of a class, or images of it from
fewer groups. How many images there are of the other class does not matter: with one malignant image a sensitivity is 0
or 1, and an AUROC one rank. A test set of a thousand images, which is no smoke test, may be such a one.

**Figures of test images rest on all splits**, since the model learnt from `train`, and `val` chose the epoch that is
kept and the thresholds; those of validation images rest on `val` and `train`.

Of several records (folds, seeds) the one with the fewest counts: a mean is no firmer than the folds that it is of.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from bcdl.datasets.pool import FEW, LABELS
from bcdl.records.record import Record

# The splits that figures of a split rest on, itself first, each as a title names it.
_NAMES = {"test": "test", "val": "validation", "train": "training"}
_RESTS_ON = {"test": ("test", "val", "train"), "val": ("val", "train"), "train": ("train",)}


class Count(NamedTuple):
    """How many groups, and how many images, a split has of a class; the fewer groups, the less."""

    groups: int
    images: int
    kind: str

    @property
    def unit(self) -> str:
        """What is counted, in words: groups, or images if each is a group of its own."""
        return f"{self.kind} {'image' if self.groups == self.images else 'group'}"

    def __str__(self) -> str:
        return f"{self.groups} {self.unit}{'' if self.groups == 1 else 's'}"


def note(records: Sequence[Record], split: str = "test") -> str:
    """What titles of figures of a split add if one that they rest on has few of a class; else empty.

    `rests on 1 malignant image in test, 2 in validation, 4 benign groups in training`: of each split the class that it
    has least of.
    """
    words, unit = [], ""
    for name in _RESTS_ON[split]:
        least = _least(records, name)
        if least and least.groups < FEW:
            words.append(f"{least.groups if least.unit == unit else least} in {_NAMES[name]}")
            unit = least.unit
    return f"rests on {', '.join(words)}" if words else ""


def _least(records: Sequence[Record], split: str) -> Count | None:
    """The least that any record's split has of a class; None if no record that is ok has the split."""
    return min((count for record in _of_each_split(records) for count in _counts(record, split)), default=None)


def _of_each_split(records: Sequence[Record]) -> Iterable[Record]:
    """Of the records that are ok, the first of each split of a data set: all seeds have the same images."""
    seen: dict[Hashable, Record] = {}
    for record in records:
        if record.ok:
            seen.setdefault(split_key(record), record)
    return seen.values()


def split_key(record: Record) -> Hashable:
    """Equal for records whose data was split in the same way: what is said of the data is one object for many of them.

    Two records may have the same split and two keys, but never the same key and two splits.
    """
    cell = record.cell
    predicted = tuple(len(of["names"]) for of in record.predictions.values())
    return id(record.dataset), cell.split_seed, cell.split_by, cell.folds, cell.fold, predicted


def _counts(record: Record, split: str) -> Iterator[Count]:
    """What a record says that its split has of each class; before schema 10, groups are known of predictions alone."""
    facts = record.dataset
    predicted = record.predictions.get(split)
    is_counted = all(split in facts.get(name, ()) for name in ("images", "malignant"))
    for kind, label in LABELS.items():
        if is_counted and split in facts.get(f"{kind}_groups", ()):
            yield Count(facts[f"{kind}_groups"][split], _images(facts, split, kind), kind)
        elif predicted:
            of_kind = [group for group, of in zip(predicted["groups"], predicted["labels"], strict=True) if of == label]
            yield Count(len(set(of_kind)), len(of_kind), kind)
        elif is_counted:
            images = _images(facts, split, kind)
            yield Count(images, images, kind)


def _images(facts: dict, split: str, kind: str) -> int:
    malignant = int(facts["malignant"][split])
    return malignant if kind == "malignant" else int(facts["images"][split]) - malignant
