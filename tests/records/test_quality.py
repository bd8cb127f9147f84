"""Metrics against cases worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from bcdl.records import quality

OUTPUTS = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.3], [0.5, 0.5]], dtype=np.float32)
LABELS = np.array([0, 1, 0, 1])


def test_the_score_is_the_malignant_share() -> None:
    np.testing.assert_allclose(quality.malignant_scores(OUTPUTS), [0.1, 0.6, 0.6, 0.5], rtol=1e-6)


def test_accuracy_counts_a_tie_as_benign() -> None:
    assert quality.accuracy(OUTPUTS, LABELS) == 0.5  # right, right, wrong, tie on a malignant image


def test_auroc_by_counting_pairs() -> None:
    # malignant 0.6, 0.5 against benign 0.1, 0.6: won, half, won, lost
    assert quality.auroc(OUTPUTS, LABELS) == pytest.approx(2.5 / 4)


@given(
    arrays(np.float32, (12, 2), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
    arrays(np.int64, 12, elements=st.integers(0, 1)),
)
def test_auroc_and_accuracy_are_those_of_scikit_learn(outputs: np.ndarray, labels: np.ndarray) -> None:
    scores = quality.malignant_scores(outputs)
    assert quality.accuracy(outputs, labels) == pytest.approx(sk.accuracy_score(labels, scores > 0.5))
    if len(np.unique(labels)) == 2:
        assert quality.auroc(outputs, labels) == pytest.approx(sk.roc_auc_score(labels, scores))


def test_of_what_is_no_number_nothing_is_measured() -> None:
    """Before, NaN was a score of 0.5, and so benign: the accuracy was the share of benign images."""
    for broken in (np.nan, np.inf):
        outputs = np.array([[0.2, 0.8], [broken, 0.1]])
        assert quality.measure("test", outputs, np.array([1, 0])) == dict.fromkeys(
            ("test_accuracy", "test_auroc", "test_loss")
        )
    scores = quality.malignant_scores(np.array([[np.nan, 0.5], [0.5, np.nan], [0.0, 0.0]]))
    np.testing.assert_array_equal(scores, [np.nan, np.nan, 0.5])


def test_auroc_of_one_class_is_undefined() -> None:
    assert quality.auroc(OUTPUTS, np.zeros(4, dtype=int)) is None


def test_loss_is_the_mean_over_both_outputs() -> None:
    wanted = -np.mean([math.log(0.9), math.log(0.9), math.log(0.6), math.log(0.6)])
    assert quality.loss(OUTPUTS[:2], LABELS[:2]) == pytest.approx(wanted, rel=1e-6)


def test_loss_is_finite_at_certainty() -> None:
    assert quality.loss(np.array([[0.0, 1.0]]), np.array([0])) == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_the_majority_class() -> None:
    assert quality.majority_accuracy(np.array([1, 1, 0, 1])) == 0.75


@given(arrays(np.float32, (6, 2), elements=st.floats(0, 1, width=32)))
def test_the_larger_output_wins_where_the_score_passes_a_half(outputs: np.ndarray) -> None:
    np.testing.assert_array_equal(quality.malignant_scores(outputs) > 0.5, outputs[:, 1] > outputs[:, 0])


def test_every_row_is_measured_under_its_name() -> None:
    measured = quality.measure("test", OUTPUTS, LABELS)
    assert list(measured) == [f"test_{row.name}" for row in quality.ROWS]


def test_the_loss_is_the_mean_of_each_images() -> None:
    # The first image loses -log 0.9 on both outputs, the second -log 0.6 on both.
    np.testing.assert_allclose(quality.losses(OUTPUTS[:2], LABELS[:2]), [-math.log(0.9), -math.log(0.6)], rtol=1e-6)
    assert quality.loss(OUTPUTS, LABELS) == pytest.approx(np.mean(quality.losses(OUTPUTS, LABELS)))
