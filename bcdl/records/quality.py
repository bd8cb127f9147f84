"""The metrics of quality that a record holds: one row each, of a split's outputs and labels. NumPy alone, so that a
worker stays light.

A worker computes them, and whoever reads a record computes them again. What a report computes, with intervals, is in
`bcdl.evaluation.metrics`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

# Keras clips probabilities at this before the logarithm (keras.config.epsilon()).
_EPSILON = 1e-7
_CLASSES = np.arange(2)  # benign, malignant, in the order of outputs


@dataclasses.dataclass(frozen=True)
class QualityRow:
    """A metric: its name in records, and its value from (scores [N], losses [N], labels [N]), or None if undefined."""

    name: str
    compute: Callable[[np.ndarray, np.ndarray, np.ndarray], float | None]


def malignant_scores(outputs: np.ndarray) -> np.ndarray:
    """Sigmoid outputs [N, 2] (benign, malignant) as one malignant score [N] float64: p1 / (p0 + p1).

    So the larger output wins exactly if the score passes 0.5. If both outputs are 0, it is 0.5; if one is NaN, it is
    NaN, too.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    total = outputs[:, 0] + outputs[:, 1]
    return np.divide(outputs[:, 1], total, out=np.full(len(outputs), 0.5), where=~(total <= 0))


def losses(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Binary cross-entropy of each image's two outputs against its one-hot label, [N] nats, as Keras computes it."""
    p = np.minimum(np.maximum(np.asarray(outputs, dtype=np.float64), _EPSILON), 1 - _EPSILON)
    is_wanted = np.asarray(labels)[:, None] == _CLASSES
    logs = np.log(np.where(is_wanted, p, 1 - p))
    return np.asarray((logs[:, 0] + logs[:, 1]) / -2)


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose larger output is their class; a tie counts as benign."""
    return _accuracy(malignant_scores(outputs), labels)


def _accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    return float(np.count_nonzero((scores > 0.5) == labels) / len(labels))


def auroc(outputs: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve of the malignant score; None if only one class is present.

    The share of pairs (malignant, benign) that the score puts in order, a tie counting half: the Mann-Whitney
    statistic over its largest value (Hanley and McNeil 1982, Radiology 143:29-36).
    """
    return _auroc(malignant_scores(outputs), labels)


def _auroc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    is_malignant = labels == 1
    malignant, benign = scores[is_malignant], np.sort(scores[~is_malignant])
    if not len(malignant) or not len(benign):
        return None
    in_order = benign.searchsorted(malignant, "left").sum() + benign.searchsorted(malignant, "right").sum()
    return float(in_order / (2 * len(malignant) * len(benign)))


def loss(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Mean binary cross-entropy of the images, nats."""
    return _mean(losses(outputs, labels))


def _mean(of_images: np.ndarray) -> float:
    return float(of_images.sum() / len(of_images))


def majority_accuracy(labels: np.ndarray) -> float:
    """Accuracy of always naming the more frequent class of `labels` [N]."""
    malignant = np.count_nonzero(labels)
    return float(max(malignant, len(labels) - malignant) / len(labels))


ROWS = (
    QualityRow("accuracy", lambda scores, losses, labels: _accuracy(scores, labels)),
    QualityRow("auroc", lambda scores, losses, labels: _auroc(scores, labels)),
    QualityRow("loss", lambda scores, losses, labels: _mean(losses)),
)


def measure(prefix: str, outputs: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Every row's metric, named `<prefix>_<name>`; undefined, all of them, if an output is NaN or infinite."""
    if not np.isfinite(outputs).all():
        return {f"{prefix}_{row.name}": None for row in ROWS}
    return measure_images(prefix, malignant_scores(outputs), losses(outputs, labels), labels)


def measure_images(prefix: str, scores: np.ndarray, losses: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """As `measure`, of images [N] with finite outputs, whose scores and losses are known."""
    return {f"{prefix}_{row.name}": row.compute(scores, losses, labels) for row in ROWS}
