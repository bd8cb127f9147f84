"""The metrics of a report: one row each, of scores, labels and groups.

A row gives a metric of many resamples of the images at once: `weights` [R, N] say how often resample r holds image n,
and the result is [R], NaN if it is not defined (a resample may hold one class alone). The metric of the images as they
are is that of weights of 1. scikit-learn has most of these metrics, of one resample at a time and ten times as slow:
`tests/evaluation/test_metrics.py` holds each to it, with weights.

Figures that need one threshold name an image malignant if its score passes 0.5, unless they say otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from bcdl.evaluation.scored import Scored
from bcdl.records import quality

# Least specificity at which sensitivity is read off.
SPECIFICITY = 0.9
# Of equal width over [0, 1], as in Naeini et al. 2015; the last holds 1.
CALIBRATION_BINS = 10

Weighted = Callable[[Scored, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Metric:
    """One row.

    Attributes:
        name: in tables that programs read.
        title: for people.
        weighted: its value in each resample.
        rests_on: the images it is about: `all`, `malignant` or `benign` ones, or `both`, each class against the other.
        share: whether it is a share of images or patients, for which 0 and 1 have an exact interval.
        ranks: whether it compares scores with each other. Those of different folds' models have no common scale, so
            that it is taken in each fold and averaged, each fold alike (Forman and Scholz 2010, ACM SIGKDD
            Explorations 12(1):49-57). All others are of the images of all folds together.
        inflated: whether chance alone raises it, so that every resampling pushes it upwards.
        by_patient: whether it is defined only if patients are known.
        most: the largest that it can be; the least is 0.
    """

    name: str
    title: str
    weighted: Weighted
    rests_on: str = "all"
    share: bool = False
    ranks: bool = False
    inflated: bool = False
    by_patient: bool = False
    most: float = 1.0

    def value(self, scored: Scored) -> float:
        """The metric of the images as they are, NaN if it is not defined."""
        parts = [scored.take(part) for part in scored.parts] if self.ranks else [scored]
        return float(np.mean([self.weighted(part, np.ones((1, len(part))))[0] for part in parts]))

    def resampled(self, scored: Scored, weights: np.ndarray) -> np.ndarray:
        """The metric in each resample of `weights` [R, N]: [R], NaN if it is not defined."""
        if not self.ranks:
            return self.weighted(scored, weights)
        return np.mean([self.weighted(scored.take(part), weights[:, part]) for part in scored.parts], axis=0)

    def evidence(self, scored: Scored) -> int:
        """How many groups the figure rests on; of two classes, those of the rarer."""
        malignant, benign = (len(np.unique(scored.groups[scored.labels == label])) for label in (1, 0))
        return {"all": scored.group_count, "malignant": malignant, "benign": benign, "both": min(malignant, benign)}[
            self.rests_on
        ]


def ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """The quotient, NaN if it is 0 / 0."""
    return np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under > 0)


def _mean(values: np.ndarray, weights: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Mean of `values` [N] over the images that `among` [N] says, or all, in each resample."""
    among = np.ones(len(values)) if among is None else among.astype(np.float64)
    return ratio(weights @ (values * among), weights @ among)


def _accuracy(scored: Scored, weights: np.ndarray) -> np.ndarray:
    return _mean(scored.right, weights)


def _balanced_accuracy(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Mean of sensitivity and specificity."""
    return (_mean(scored.right, weights, scored.labels == 1) + _mean(scored.right, weights, scored.labels == 0)) / 2


def _recognition_rate(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Mean over patients of the share of their images named right (Spanhol et al. 2016, IEEE TBME 63:1455-1462, eq. 2).

    Weights are those of whole patients: an image counts as one part in as many as its patient has.
    """
    if not scored.grouped:
        return np.full(len(weights), np.nan)
    _, patient, images = np.unique(scored.groups, return_inverse=True, return_counts=True)
    return ratio(weights @ (scored.right / images[patient]), weights @ (1 / images[patient]))


def _sensitivity(scored: Scored, weights: np.ndarray) -> np.ndarray:
    if scored.called is None:
        return np.full(len(weights), np.nan)
    return _mean(scored.called, weights, scored.labels == 1)


def _specificity(scored: Scored, weights: np.ndarray) -> np.ndarray:
    if scored.called is None:
        return np.full(len(weights), np.nan)
    return _mean(~scored.called, weights, scored.labels == 0)


def _f1(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """F1 of the malignant class; not defined if no image is malignant and none is named so."""
    return ratio(
        weights @ (2.0 * (scored.named & (scored.labels == 1))), weights @ (1.0 * scored.named + scored.labels)
    )


def _loss(scored: Scored, weights: np.ndarray) -> np.ndarray:
    return _mean(quality.losses(scored.outputs, scored.labels), weights)


def _brier(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Mean squared distance of score and label (after Brier 1950, Monthly Weather Review 78:1-3)."""
    return _mean((scored.scores - scored.labels) ** 2, weights)


def calibration_bin(scores: np.ndarray) -> np.ndarray:
    """The calibration bin of each score [N], from 0."""
    return np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)


def _calibration_error(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Mean over images of how far their bin's mean score is from its share of malignant images.

    The expected calibration error of Naeini, Cooper and Hauskrecht 2015 (AAAI, 2901-2907), for the malignant score.
    """
    in_bin = calibration_bin(scored.scores)[:, None] == np.arange(CALIBRATION_BINS)
    gaps = weights @ (in_bin * (scored.scores - scored.labels)[:, None])
    return ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def by_threshold(scored: Scored, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives [R, U] with each of the U different scores as the least that is called malignant.

    From the highest score to the lowest.
    """
    order = np.argsort(-scored.scores, kind="stable")
    ranked = scored.scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    malignant = weights[:, order] * (scored.labels[order] == 1)
    benign = weights[:, order] - malignant
    true, false = (np.add.reduceat(part, starts, axis=1).cumsum(axis=1) for part in (malignant, benign))
    return true, false


def _auroc(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve by trapezoids: a tie of a malignant and a benign image counts half."""
    true, false = by_threshold(scored, weights)
    steps = np.diff(false, axis=1, prepend=0)
    heights = true - np.diff(true, axis=1, prepend=0) / 2
    return ratio((steps * heights).sum(axis=1), true[:, -1] * false[:, -1])


def _average_precision(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve as steps, without interpolation, as scikit-learn's."""
    true, false = by_threshold(scored, weights)
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
    return np.where(
        false[:, -1] > 0, ratio((np.diff(true, axis=1, prepend=0) * precision).sum(axis=1), true[:, -1]), np.nan
    )


def _sensitivity_at_specificity(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """The largest sensitivity of a threshold whose specificity is at least `SPECIFICITY`; 0 if there is none."""
    true, false = by_threshold(scored, weights)
    allowed = 1 - ratio(false, np.repeat(false[:, -1:], false.shape[1], axis=1)) > SPECIFICITY - 1e-9
    reached = np.max(np.where(allowed, true, 0.0), axis=1)
    return np.where(false[:, -1] > 0, ratio(reached, true[:, -1]), np.nan)


METRICS = (
    Metric("accuracy", "Accuracy", _accuracy, share=True),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        _balanced_accuracy,
        rests_on="both",
    ),
    Metric("recognition_rate", "Patient-level recognition rate", _recognition_rate, share=True, by_patient=True),
    Metric(
        "auroc",
        "AUROC",
        _auroc,
        rests_on="both",
        ranks=True,
    ),
    Metric(
        "auprc",
        "AUPRC (average precision)",
        _average_precision,
        rests_on="both",
        ranks=True,
    ),
    Metric(
        "sensitivity",
        "Sensitivity, threshold of validation",
        _sensitivity,
        rests_on="malignant",
        share=True,
    ),
    Metric(
        "specificity",
        "Specificity, threshold of validation",
        _specificity,
        rests_on="benign",
        share=True,
    ),
    Metric(
        "sensitivity_at_90_specificity",
        "Sensitivity at 90% specificity",
        _sensitivity_at_specificity,
        rests_on="both",
        share=True,
        ranks=True,
    ),
    Metric("f1", "F1 of malignant", _f1, rests_on="both"),
    Metric("loss", "Loss (binary cross-entropy, nats)", _loss, most=np.inf),
    Metric("brier", "Brier score", _brier),
    Metric(
        "calibration_error",
        f"Expected calibration error ({CALIBRATION_BINS} bins)",
        _calibration_error,
        inflated=True,
    ),
)
BY_NAME = {metric.name: metric for metric in METRICS}
