"""What a worker computes from a split's scores and labels: one row a metric. NumPy alone, so that a worker stays light.

What a report computes, with intervals, is in `bcdl.evaluation.metrics`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

# Keras clips probabilities at this before the logarithm (keras.config.epsilon()).
_EPSILON = 1e-7


@dataclasses.dataclass(frozen=True)
class QualityRow:
    """A metric: its name in records, and its value from (outputs [N, 2], labels [N]), or None if undefined."""

    name: str
    compute: Callable[[np.ndarray, np.ndarray], float | None]


def malignant_scores(outputs: np.ndarray) -> np.ndarray:
    """Sigmoid outputs [N, 2] (benign, malignant) as one malignant score [N] float64: p1 / (p0 + p1).

    So the larger output wins exactly if the score passes 0.5. If both outputs are 0, it is 0.5; if one is NaN, it is
    NaN, too.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    total = outputs.sum(axis=1)
    return np.divide(outputs[:, 1], total, out=np.full(len(outputs), 0.5), where=~(total <= 0))


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose larger output is their class; a tie counts as benign."""
    return float(np.mean((malignant_scores(outputs) > 0.5) == labels))


def auroc(outputs: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve of the malignant score; None if only one class is present.

    The share of pairs (malignant, benign) that the score puts in order, a tie counting half: the Mann-Whitney
    statistic over its largest value (Hanley and McNeil 1982, Radiology 143:29-36).
    """
    scores = malignant_scores(outputs)
    malignant, benign = scores[labels == 1], np.sort(scores[labels == 0])
    if not len(malignant) or not len(benign):
        return None
    below, up_to = (np.searchsorted(benign, malignant, side) for side in ("left", "right"))
    return float((below + up_to).sum() / (2 * len(malignant) * len(benign)))


def losses(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Binary cross-entropy of each image's two outputs against its one-hot label, [N] nats, as Keras computes it."""
    p = np.clip(np.asarray(outputs, dtype=np.float64), _EPSILON, 1 - _EPSILON)
    wanted = np.eye(2)[labels]
    return np.asarray(-np.mean(wanted * np.log(p) + (1 - wanted) * np.log(1 - p), axis=1))


def loss(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Mean binary cross-entropy of the images, nats."""
    return float(np.mean(losses(outputs, labels)))


def majority_accuracy(labels: np.ndarray) -> float:
    """Accuracy of always naming the more frequent class of `labels` [N]."""
    return float(np.bincount(labels).max() / len(labels))


ROWS = (QualityRow("accuracy", accuracy), QualityRow("auroc", auroc), QualityRow("loss", loss))


def measure(prefix: str, outputs: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Every row's metric, named `<prefix>_<name>`; undefined, all of them, if an output is NaN or infinite."""
    defined = bool(np.isfinite(outputs).all())
    return {f"{prefix}_{row.name}": row.compute(outputs, labels) if defined else None for row in ROWS}
