"""Variants: ways of training that were judged on the same images, and what one setting changes.

Two variants that differ in one setting alone, from the same seeds, show what that setting does: the difference is
paired, image by image, so that it sees more than two intervals side by side would. That of variants which differ in
several settings would be nobody's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bcdl.evaluation import estimates, metrics, scored
from bcdl.evaluation.scored import Scored
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Key, Purpose
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.statistics.estimated import Estimated
from bcdl.text import LONGEST_NAME, UNSAFE

COMPARED = (metrics.BY_NAME["auroc"], metrics.BY_NAME["accuracy"])
# Settings that change no diagnosis: what is measured besides, and the name of a set of settings.
_NO_DIFFERENCE = ("profile", "timing", "windows", "window_steps")


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """One way of training on one backend.

    Attributes:
        cell: of its first record.
        records: those that are ok, in the order of seeds and folds.
        seeds: what the models of each seed said of the images that they were judged on.
    """

    cell: Cell
    records: tuple[Record, ...]
    seeds: dict[int, Scored]


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """Variants that one backend trained on one machine, and that were judged on the same images.

    Attributes:
        machine: the folder of their records.
        slug: the stem of the names of files: readable, and made unique by a digest of all that sets them apart.
        variants: in the order of their first records.
    """

    machine: str
    slug: str
    variants: tuple[Variant, ...]

    @property
    def cell(self) -> Cell:
        """A cell of which all variants share data, split and backend."""
        return self.variants[0].cell


@dataclasses.dataclass(frozen=True)
class Change:
    """What one setting changes.

    Attributes:
        setting: its name.
        a, b: two variants that differ in it alone.
        seeds: the seeds of which both have the same images.
        differences: by metric, that of b less that of a, the mean over these seeds, with its interval over patients.
    """

    setting: str
    a: Variant
    b: Variant
    seeds: tuple[int, ...]
    differences: dict[str, Estimated]


def compared(groups: Sequence[Group], tested: bool) -> list[Compared]:
    """The variants of real data, those together that were judged on the same images by one backend.

    If `tested`, on test images; else on the validation images of cells that were not tested.
    """
    by_images: dict[tuple[str, Key], dict[object, list[Record]]] = {}
    for group in groups:
        if not group.synthetic and group.first.cell.test is tested:
            for *_, record in group.ran():
                key = comparability.key(Evidence.of(record, group.machine), Purpose.VARIANTS)
                by_images.setdefault((group.machine, key), {}).setdefault(_training(record), []).append(record)
    made = (_compared(machine, key, list(of.values()), tested) for (machine, key), of in by_images.items())
    return [each for each in made if len(each.variants) > 1]


def _compared(machine: str, key: Key, trained: Sequence[Sequence[Record]], tested: bool) -> Compared:
    cell, split = trained[0][0].cell, "test" if tested else "val"
    digest = hashlib.sha256(repr((machine, key)).encode()).hexdigest()[:6]
    slug = re.sub(UNSAFE, "_", f"{cell.data[:LONGEST_NAME]}-{cell.backend}-{digest}")
    every = (_variant(records, split) for records in trained)
    return Compared(machine, slug, tuple(variant for variant in every if variant.seeds))


def differing(variants: Sequence[Variant]) -> list[str]:
    """The settings, in order, in which not all of the variants agree, seeds and folds left out."""
    values = [_settings(variant.cell) for variant in variants]
    return [name for name in values[0] if len({of[name] for of in values}) > 1] if values else []


def changes(variants: Sequence[Variant]) -> Iterator[Change]:
    """What each setting changes in which two of the variants differ alone, in the order of the settings.

    The variant with the setting's default is a; if neither has it, the one with the smaller value.
    """
    pairs = []
    for pair in itertools.combinations(variants, 2):
        names = differing(pair)
        if len(names) == 1:
            a, b = sorted(pair, key=lambda variant: _order(variant.cell, names[0]))
            pairs.append((names[0], a, b))
    order = list(Cell.rows())
    for name, a, b in sorted(pairs, key=lambda pair: order.index(pair[0])):
        shared = [seed for seed in a.seeds if seed in b.seeds and _same_images(a.seeds[seed], b.seeds[seed])]
        if shared:
            sides = [[variant.seeds[seed] for seed in shared] for variant in (a, b)]
            made = {metric.name: estimates.difference(metric, *sides) for metric in COMPARED}
            yield Change(name, a, b, tuple(shared), made)


def _training(record: Record) -> object:
    """What all records of a variant have in common: its settings, and the weights that a file of some name held."""
    return tuple(_settings(record.cell).items()), record.weights.get("sha256")


def _settings(cell: Cell) -> dict[str, Any]:
    """The settings of training, by name."""
    left_out = {*_NO_DIFFERENCE, *(name for name, row in Cell.rows().items() if row.within_table == "draw")}
    return {name: value for name, value in cell.to_dict().items() if name not in left_out}


def _variant(records: Sequence[Record], split: str) -> Variant:
    newest = {(record.cell.seed, record.cell.fold): record for record in records}
    in_order = tuple(newest[draw] for draw in sorted(newest))
    return Variant(in_order[0].cell, in_order, scored.by_seed(in_order, split))


def _order(cell: Cell, name: str) -> tuple[bool, Any]:
    value, default = getattr(cell, name), Cell.rows()[name].default
    return (value != ("none" if name == "weights" else default), value)


def _same_images(a: Scored, b: Scored) -> bool:
    return np.array_equal(a.names, b.names) and np.array_equal(a.folds, b.folds)
