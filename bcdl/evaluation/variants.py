"""Variants: ways of training that were judged on the same images, and what one setting changes.

Two variants that differ in one setting alone, from the same seeds, show what that setting does: the difference is
paired, image by image, so that it sees more than two intervals side by side would. That of variants which differ in
several settings would be nobody's, with one exception: pretrained and random weights, which are trained best in
different ways, are compared each in its own.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bcdl.evaluation import estimates, metrics, scored
from bcdl.evaluation.metrics import Metric
from bcdl.evaluation.scored import Scored
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Key, Purpose
from bcdl.records.groups import Group, together
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.statistics.estimated import Estimated
from bcdl.text import LONGEST_NAME, UNSAFE

COMPARED = (metrics.BY_NAME["auroc"], metrics.BY_NAME["accuracy"])
# Settings that change no diagnosis: what is measured besides, and the name of a set of settings.
_NO_DIFFERENCE = ("profile", "timing", "windows", "window_steps")


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """One way of training by one backend.

    Attributes:
        software: the backend, with its versions if the variants beside this one have several.
        cell: of its first record.
        records: those that are ok, in the order of seeds and folds.
        seeds: what the models of each seed said of the images that they were judged on.
    """

    software: str
    cell: Cell
    records: tuple[Record, ...]
    seeds: dict[int, Scored]


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """Variants that were judged on the same images.

    Attributes:
        machines: the folders of their records, in words.
        slug: the stem of the names of files: readable, and made unique by a digest of all that sets them apart.
        variants: by their software, then in the order of their first records.
    """

    machines: str
    slug: str
    variants: tuple[Variant, ...]

    @property
    def cell(self) -> Cell:
        """A cell of which all variants share data and split."""
        return self.variants[0].cell


@dataclasses.dataclass(frozen=True)
class Change:
    """What one setting changes.

    Attributes:
        setting: its name.
        a, b: two variants that differ in it; in it alone, unless it is the start.
        seeds: what both said of each seed that they share, on the images of the folds that they share.
        differences: by metric, that of b less that of a, the mean over these seeds, with its interval over patients.
    """

    setting: str
    a: Variant
    b: Variant
    seeds: dict[int, tuple[Scored, Scored]]
    differences: dict[str, Estimated]

    def means(self, metric: Metric) -> tuple[float, float]:
        """The metric of a and of b, the means over these seeds."""
        of_a, of_b = (
            np.mean([metric.value(scores) for scores in side]) for side in zip(*self.seeds.values(), strict=True)
        )
        return float(of_a), float(of_b)

    @property
    def most_images(self) -> Scored:
        """What a said of the seed with the most images."""
        return max((a for a, _ in self.seeds.values()), key=len)


def compared(groups: Sequence[Group], tested: bool) -> Sequence[Compared]:
    """The variants of real data, those together that were judged on the same images.

    If `tested`, on test images; else on the validation images of cells that were not tested.
    """
    return _of_groups(tuple(groups), tested)


@functools.lru_cache(maxsize=2)
def _of_groups(groups: tuple[Group, ...], tested: bool) -> Sequence[Compared]:
    """As `compared`. The first page quotes what other pages show: predictions of many records are put together once."""
    by_images: dict[Key, list[Record]] = {}
    machines: dict[Key, set[str]] = {}
    for group in groups:
        if not group.synthetic and group.first.cell.test is tested:
            for *_, record in group.ran():
                key = comparability.key(Evidence.of(record), Purpose.VARIANTS)
                by_images.setdefault(key, []).append(record)
                machines.setdefault(key, set()).update(group.machines)
    made = (_compared(together(machines[key]), key, records, tested) for key, records in by_images.items())
    return [each for each in made if len(each.variants) > 1]


def _compared(machines: str, key: Key, records: Sequence[Record], tested: bool) -> Compared:
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:6]
    slug = re.sub(UNSAFE, "_", f"{records[0].cell.data[:LONGEST_NAME]}-{digest}")
    trained: dict[tuple[str, object], list[Record]] = {}
    for record, software in zip(records, _software(records), strict=True):
        trained.setdefault((software, _training(record)), []).append(record)
    every = [_variant(software, of, "test" if tested else "val") for (software, _), of in trained.items()]
    judged = (variant for variant in every if variant.seeds)
    return Compared(machines, slug, tuple(sorted(judged, key=lambda variant: variant.software)))


def _software(records: Sequence[Record]) -> list[str]:
    """The backend of each record; if its records have several versions of anything, these too."""
    backends = [record.cell.backend for record in records]
    versions = [comparability.versions(record.environment, record.cell.device) or {} for record in records]
    known: dict[str, set[object]] = {}
    for backend, of in zip(backends, versions, strict=True):
        known.setdefault(backend, set()).add(frozenset(of.items()))
    return [
        backend if len(known[backend]) == 1 else ", ".join([backend, *(" ".join(each) for each in sorted(of.items()))])
        for backend, of in zip(backends, versions, strict=True)
    ]


def differing(variants: Sequence[Variant]) -> list[str]:
    """The settings of training, in order, in which not all of the variants agree; seeds and folds are none."""
    values = [_settings(variant.cell) for variant in variants]
    return [name for name in values[0] if len({of[name] for of in values}) > 1] if values else []


def changes(variants: Sequence[Variant]) -> Iterator[Change]:
    """What each setting changes in which two variants of equal software differ alone, in the order of the settings.

    The variant with the setting's default is a; if neither has it, the one with the smaller value.
    """
    pairs = []
    for pair in itertools.combinations(variants, 2):
        names = differing(pair)
        if len(names) == 1 and pair[0].software == pair[1].software:
            a, b = sorted(pair, key=lambda variant: _order(variant.cell, names[0]))
            pairs.append((names[0], a, b))
    order = list(Cell.rows())
    for name, a, b in sorted(pairs, key=lambda pair: order.index(pair[0])):
        if _both(a, b):
            yield _change(name, a, b)


def starts(variants: Sequence[Variant]) -> list[tuple[Variant, Variant]]:
    """Every two variants of equal software, model and size of image, the first from random weights, the other not.

    Only those that share a seed and a fold.
    """
    return [
        (a, b)
        for a, b in itertools.permutations(variants, 2)
        if a.cell.weights == "none" != b.cell.weights
        and a.software == b.software
        and all(getattr(a.cell, name) == getattr(b.cell, name) for name in ("model", "image_size"))
        and _both(a, b)
    ]


@functools.lru_cache(maxsize=64)
def start(a: Variant, b: Variant) -> Change:
    """What a start from pretrained weights changes over a random one, each trained in its own way."""
    return _change("weights", a, b)


def _change(setting: str, a: Variant, b: Variant) -> Change:
    """The change from a to b, which share a seed and a fold."""
    shared = _both(a, b)
    sides = [list(side) for side in zip(*shared.values(), strict=True)]
    return Change(setting, a, b, shared, {metric.name: estimates.difference(metric, *sides) for metric in COMPARED})


def _both(a: Variant, b: Variant) -> dict[int, tuple[Scored, Scored]]:
    """What both said of each seed that they share, on the images of the folds that they share."""
    return {seed: of for seed in a.seeds if seed in b.seeds if (of := _shared(a.seeds[seed], b.seeds[seed]))}


def _training(record: Record) -> object:
    """What all records of a variant have in common: its settings, and the weights that a file of some name held."""
    return tuple(_settings(record.cell).items()), record.weights.get("sha256")


def _settings(cell: Cell) -> dict[str, Any]:
    """The settings of training, by name; the backend is none."""
    others = (name for name, row in Cell.rows().items() if row.within_table in ("draw", "column"))
    left_out = {*_NO_DIFFERENCE, *others}
    return {name: value for name, value in cell.to_dict().items() if name not in left_out}


def _variant(software: str, records: Sequence[Record], split: str) -> Variant:
    oldest_first = sorted(records, key=lambda record: record.started)  # of several groups, if of several machines
    newest = {(record.cell.seed, record.cell.fold): record for record in oldest_first}
    in_order = tuple(newest[draw] for draw in sorted(newest))
    return Variant(software, in_order[0].cell, in_order, scored.by_seed(in_order, split))


def _order(cell: Cell, name: str) -> tuple[bool, Any]:
    value, default = getattr(cell, name), Cell.rows()[name].default
    return (value != ("none" if name == "weights" else default), value)


def _shared(a: Scored, b: Scored) -> tuple[Scored, Scored] | None:
    """What both said of the folds that they share, of which they have the same images; None if there are none."""
    of_a, of_b = ({fold: of.names[of.folds == fold].tolist() for fold in np.unique(of.folds)} for of in (a, b))
    folds = [fold for fold, names in of_a.items() if of_b.get(fold) == names]
    return (a.take(np.isin(a.folds, folds)), b.take(np.isin(b.folds, folds))) if folds else None
