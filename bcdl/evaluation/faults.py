"""What each fault of the source study does, switched on alone in a training that has none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from bcdl.evaluation import leakage_premium, variants
from bcdl.evaluation.leakage_premium import Premium
from bcdl.evaluation.variants import Change, Compared, Variant
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.statistics.estimated import Estimated


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault of the source study, as a setting and its value.

    Attributes:
        setting, value: what switches it on.
        title: in words.
    """

    setting: str
    value: Any
    title: str


SPLIT_BY_IMAGE = Fault("split_by", "image", "split by image")
FAULTS = (
    Fault("preprocessing", "none", "pixels from 0 to 255, not scaled"),
    Fault("zoom_range", 2.0, "zoom range of 2"),
    Fault("batch_norm", "moving", "batch norms that have not settled"),
    Fault("keep", "last", "the last epoch, not the best"),
    SPLIT_BY_IMAGE,
)


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one fault does.

    Attributes:
        fault: which.
        base: the training without it.
        without, with_it: by metric, the mean over seeds, of the same folds.
        differences: by metric, with the fault less without it, with its interval over patients.
        seeds: how many were tested both ways.
        images: how many images, of how many groups, and how many of these are of no known patient.
        faulty: the records of the training that has the fault.
    """

    fault: Fault
    base: Variant
    without: dict[str, float]
    with_it: dict[str, float]
    differences: dict[str, Estimated]
    seeds: int
    images: tuple[int, int, int]
    faulty: tuple[Record, ...]


@dataclasses.dataclass(frozen=True)
class Effects:
    """What the faults do to one training.

    Attributes:
        base: the training without them.
        effects: a row for each fault that was switched on, in the order of `FAULTS`: in this training or, if it has
            none of it, in one that differs from this in one other setting. A zoom needs images that are augmented.
    """

    base: Variant
    effects: tuple[Effect, ...]


def effects(of: Compared, changes: Sequence[Change], groups: Sequence[Group]) -> Effects | None:
    """What the faults do to the training in which most of them were switched on, each alone; None if fewer than two.

    Args:
        of: the ways of training that were judged on the same images.
        changes: what each setting changes among them.
        groups: all groups: those of a split by image are judged in other folds, so that they are no variant.
    """
    sound = [variant for variant in of.variants if not has_fault(variant.cell)]
    both_ways = leakage_premium.pairs(groups)
    made = [Effects(base, tuple(_effects(base, changes, both_ways))) for base in sound]
    most = max(
        made, key=lambda each: (len(each.effects), sum(effect.images[0] for effect in each.effects)), default=None
    )
    if most is None or len(most.effects) < 2:
        return None
    near = [each for each in made if each is not most and _is_near(each.base, most.base)]
    return Effects(most.base, tuple(_completed(most.effects, [effect for each in near for effect in each.effects])))


def _is_near(a: Variant, b: Variant) -> bool:
    """Whether two variants of equal software differ in one setting alone, and not in what is trained or from where."""
    names = variants.differing((a, b))
    return len(names) == 1 and a.software == b.software and not {"model", "weights"} & set(names)


def _completed(effects: Sequence[Effect], others: Sequence[Effect]) -> Iterator[Effect]:
    """The effects, and the first of the others for each fault that they lack."""
    for fault in FAULTS:
        of_fault = (effect for effect in (*effects, *others) if effect.fault is fault)
        if found := next(of_fault, None):
            yield found


def has_fault(cell: Cell) -> bool:
    """Whether the cell has a fault of the source study."""
    return any(has(fault, cell) for fault in FAULTS)


def has(fault: Fault, cell: Cell) -> bool:
    """Whether the cell has this one."""
    return bool(getattr(cell, fault.setting) == fault.value)


def _effects(base: Variant, changes: Sequence[Change], both_ways: Sequence[tuple[Group, Group]]) -> Iterator[Effect]:
    for fault in FAULTS:
        if fault is SPLIT_BY_IMAGE:
            yield from _of_split(base, both_ways)
        for change in changes:
            if change.a is base and change.setting == fault.setting and has(fault, change.b.cell):
                yield _of_change(fault, change)


def _of_change(fault: Fault, change: Change) -> Effect:
    means = {metric.name: change.means(metric) for metric in variants.COMPARED}
    without, with_it = ({name: pair[side] for name, pair in means.items()} for side in (0, 1))
    counts = change.most_images.counts
    return Effect(fault, change.a, without, with_it, change.differences, len(change.seeds), counts, change.b.records)


def _of_split(base: Variant, both_ways: Sequence[tuple[Group, Group]]) -> Iterator[Effect]:
    """The leakage premium of the same training; none if it was not cross-validated both ways."""
    first, line = base.records[0], Line.of(base.cell)
    for by_group, by_image in both_ways:
        if first in by_group.records:
            premiums = [
                premium
                for premium in leakage_premium.premiums(by_group, by_image)
                if (premium.line, premium.backend) == (line, base.cell.backend)
            ]
            if premiums:
                yield _of_premiums(base, premiums, tuple(by_image.of(line, base.cell.backend)))


def _of_premiums(base: Variant, premiums: Sequence[Premium], faulty: tuple[Record, ...]) -> Effect:
    """The effect that the premiums of one training, one of each metric, are."""
    first = premiums[0]
    return Effect(
        SPLIT_BY_IMAGE,
        base,
        {each.metric.name: each.by_group for each in premiums},
        {each.metric.name: each.by_image for each in premiums},
        {each.metric.name: each.difference for each in premiums},
        first.seeds,
        (first.images, first.groups, first.ungrouped),
        faulty,
    )
