"""The leakage premium: by how much a split by image raises a metric over a split by patient of the same images.

Both ways every image is tested once, by the model of the fold that did not train on it. Split by image, that model has
most often seen other images of the same patient. `nox -s bench-torch -- --data DIR --split-by group,image --folds 5
--no-timing` runs the cells of both.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Sequence

import numpy as np

from bcdl.evaluation import estimates, metrics, scored
from bcdl.evaluation.metrics import Metric
from bcdl.evaluation.scored import Scored
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.groups import Group, Line
from bcdl.statistics.estimated import Estimated

COMPARED = (metrics.BY_NAME["accuracy"], metrics.BY_NAME["auroc"])


class Verdict(enum.Enum):
    """What the interval of a premium says; that there is none is more than few images can show."""

    PREMIUM = enum.auto()
    DISCOUNT = enum.auto()
    NOT_DETECTABLE = enum.auto()


@dataclasses.dataclass(frozen=True)
class Premium:
    """One model on one backend, both ways.

    Attributes:
        line, backend: which.
        metric: of what.
        by_group, by_image: the metric under each split, the mean over seeds.
        difference: by image less by group, with its interval over patients.
        images, groups: how many were tested.
        ungrouped: how many of the images count as a patient of their own, because theirs is not known.
        seeds: how many.
    """

    line: Line
    backend: str
    metric: Metric
    by_group: float
    by_image: float
    difference: Estimated
    images: int
    groups: int
    ungrouped: int
    seeds: int

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        if self.difference.low > 0:
            return Verdict.PREMIUM
        return Verdict.DISCOUNT if self.difference.high < 0 else Verdict.NOT_DETECTABLE


def pairs(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Groups that differ in what a split never cuts alone: (by group, by image)."""
    by_settings: dict[object, dict[str, Group]] = {}
    for group in groups:
        cell = group.first.cell
        if cell.folds:
            key = comparability.key(Evidence.of(group.first, group.machine), Purpose.PREMIUM)
            by_settings.setdefault(key, {})[cell.split_by] = group
    return [(ways["group"], ways["image"]) for ways in by_settings.values() if {"group", "image"} <= ways.keys()]


@functools.lru_cache(maxsize=64)
def premiums(by_group: Group, by_image: Group) -> Sequence[Premium]:
    """Every model and backend that was cross-validated both ways from the same seeds, all folds of it.

    Two pages show them, so that those of the last groups are kept.
    """
    made = []
    for line in by_group.lines:
        for backend in by_group.backends:
            ways = [scored.by_seed(group.of(line, backend)) for group in (by_group, by_image)]
            shared = [seed for seed in ways[0] if seed in ways[1] and _same_images(ways[0][seed], ways[1][seed])]
            if shared:
                sides = [[way[seed] for seed in shared] for way in ways]
                made += [_premium(line, backend, metric, *sides) for metric in COMPARED]
    return made


def _same_images(a: Scored, b: Scored) -> bool:
    return sorted(a.names.tolist()) == sorted(b.names.tolist())


def _premium(line: Line, backend: str, metric: Metric, by_group: list[Scored], by_image: list[Scored]) -> Premium:
    of_groups, of_images = (float(np.mean([metric.value(scores) for scores in side])) for side in (by_group, by_image))
    first = by_group[0]
    return Premium(
        line,
        backend,
        metric,
        of_groups,
        of_images,
        estimates.difference(metric, by_group, by_image),
        images=len(first),
        groups=first.group_count,
        ungrouped=first.ungrouped,
        seeds=len(by_group),
    )
