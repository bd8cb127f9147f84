"""Points of curves, from scores, labels and groups: ROC and calibration, with bands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bcdl.evaluation import estimates, metrics, scored
from bcdl.evaluation.scored import Scored
from bcdl.statistics import bootstrap

# 1 - specificity, at which curves of several folds and seeds are averaged.
RATES = np.linspace(0, 1, 101)


@dataclasses.dataclass(frozen=True)
class Roc:
    """Sensitivity at each of `RATES`, and its 95 percent band over patients, point by point: [K] each."""

    sensitivity: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc(seeds: Sequence[Scored]) -> Roc | None:
    """The mean ROC curve of the seeds, each the mean over its folds; None if a fold lacks a class.

    Curves are averaged vertically: sensitivities at one specificity (Fawcett 2006, Pattern Recognition Letters
    27:861-874). There is no band (NaN) if a class has fewer groups than `bootstrap.LEAST_GROUPS`.
    """
    whole = mean_roc(seeds)
    if whole is None:
        return None
    first = seeds[: estimates.MOST_SEEDS]
    drawn = [
        np.mean([_roc(scores, w) for scores, w in zip(first, weights, strict=True)], axis=0)
        for weights in scored.resamples(first)
    ]
    moved = whole - mean_roc(first) if len(seeds) > len(first) else 0.0
    few = min(metrics.BY_NAME["auroc"].evidence(scores) for scores in seeds) < bootstrap.LEAST_GROUPS
    tail = (1 - bootstrap.CONFIDENCE) / 2
    low, high = np.clip(np.nanquantile(np.concatenate(drawn), [tail, 1 - tail], axis=0) + moved, 0, 1)
    return Roc(whole, *((np.full_like(whole, np.nan),) * 2 if few else (low, high)))


def mean_roc(seeds: Sequence[Scored]) -> np.ndarray | None:
    """The sensitivity of `roc` alone, [K], which takes no resamples; None if a fold lacks a class."""
    whole = np.mean([_roc(scores, np.ones((1, len(scores))))[0] for scores in seeds], axis=0)
    return None if np.isnan(whole).any() else np.asarray(whole)


def _roc(of: Scored, weights: np.ndarray) -> np.ndarray:
    """Sensitivity at each of `RATES` in each resample, [R, K]; NaN if a class is missing."""
    return np.mean([_roc_of_part(of.take(part), weights[:, part]) for part in of.parts], axis=0)


def _roc_of_part(of: Scored, weights: np.ndarray) -> np.ndarray:
    true, false = (np.pad(part, ((0, 0), (1, 0))) for part in metrics.by_threshold(of, weights))
    curves = np.full((len(weights), len(RATES)), np.nan)
    whole = (true[:, -1] > 0) & (false[:, -1] > 0)
    if not whole.any():
        return curves
    ups, rights = (part[whole] / part[whole, -1:] for part in (true, false))
    # All curves are interpolated at once, each two further to the right than the one before. Of several points at one
    # rate, the last is taken, which is the highest: the sensitivity that can be had.
    shift = 2.0 * np.arange(len(ups))[:, None]
    curves[whole] = np.interp(RATES + shift, (rights + shift).ravel(), ups.ravel())
    return curves


@dataclasses.dataclass(frozen=True)
class Bin:
    """Images whose scores lie in one calibration bin, those of several seeds together.

    Attributes:
        middle: of the bin.
        score: mean of theirs.
        malignant: the share of them that is malignant.
        low, high: its 95 percent interval over patients; NaN if there are fewer groups than it takes.
        images: how many, as a mean over seeds.
    """

    middle: float
    score: float
    malignant: float
    low: float
    high: float
    images: float


def calibration(seeds: Sequence[Scored]) -> list[Bin]:
    """The bins that hold images of the first `estimates.MOST_SEEDS` seeds, from the lowest score to the highest."""
    seeds = seeds[: estimates.MOST_SEEDS]
    drawn = np.concatenate([np.concatenate(weights, axis=1) for weights in scored.resamples(seeds)])
    scores = np.concatenate([of_seed.scores for of_seed in seeds])
    labels = np.concatenate([of_seed.labels for of_seed in seeds])
    groups = np.concatenate([of_seed.groups for of_seed in seeds])
    in_bin = metrics.calibration_bin(scores)[:, None] == np.arange(metrics.CALIBRATION_BINS)
    shares = metrics.ratio(drawn @ (in_bin * labels[:, None] * 1.0), drawn @ (in_bin * 1.0))
    bins = []
    for number, inside in enumerate(in_bin.T):
        if inside.any():
            share = float(np.mean(labels[inside]))
            low, high = bootstrap.interval(share, shares[:, number], len(np.unique(groups[inside])), share=True)
            middle = (number + 0.5) / metrics.CALIBRATION_BINS
            images = float(inside.sum()) / len(seeds)
            bins.append(Bin(middle, float(np.mean(scores[inside])), share, low, high, images))
    return bins
