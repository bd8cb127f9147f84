"""Each metric against cases worked by hand, and against scikit-learn with weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from bcdl.evaluation.metrics import BY_NAME, METRICS, Metric
from bcdl.evaluation.scored import Scored
from tests.predictions import scored

# Three malignant images and five benign ones, of which one of each is on the wrong side of 0.5.
SCORES = [0.9, 0.8, 0.4, 0.6, 0.3, 0.3, 0.2, 0.1]
LABELS = [1, 1, 1, 0, 0, 0, 0, 0]
# Three patients of malignant and benign images, and one patient whose only image is benign.
GROUPS = ["a", "a", "b", "c", "c", "c", "c", "d"]
# Called malignant at a validation threshold of 0.3.
EXAMPLE = scored(SCORES, LABELS, GROUPS, called=np.array(SCORES) >= 0.3)


# Name, value of `EXAMPLE`, and the classes without whose images the metric is not defined.
CASES: list[tuple[str, float, set[int]]] = [
    ("accuracy", 6 / 8, set()),
    # 2 of 3 and 4 of 5.
    ("balanced_accuracy", (2 / 3 + 4 / 5) / 2, {0, 1}),
    # Patient a 2 of 2, b 0 of 1, c 3 of 4, d 1 of 1.
    ("recognition_rate", (1 + 0 + 3 / 4 + 1) / 4, set()),
    # Pairs in order: 5 of 5 for 0.9 and 0.8, 4 of 5 for 0.4.
    ("auroc", 14 / 15, {0, 1}),
    # Precision where each malignant image is reached: 1 of 1, 2 of 2, 3 of 4.
    ("auprc", (1 + 1 + 3 / 4) / 3, {0, 1}),
    # At 0.3 all malignant ones are called, and three of five benign ones.
    ("sensitivity", 1.0, {1}),
    ("specificity", 2 / 5, {0}),
    # One benign image of five is too many false alarms: only 0.9 and 0.8 stand above 0.6.
    ("sensitivity_at_90_specificity", 2 / 3, {0, 1}),
    # 2 true, 1 false, 1 missed.
    ("f1", 2 * 2 / (2 * 2 + 1 + 1), set()),
    # Both outputs lose the same: the logarithm of the score of what it is.
    ("loss", -np.mean(np.log([0.9, 0.8, 0.4, 0.4, 0.7, 0.7, 0.8, 0.9])), set()),
    ("brier", (0.01 + 0.04 + 0.36 + 0.36 + 0.09 + 0.09 + 0.04 + 0.01) / 8, set()),
    # Bins of one image each, but for the two of 0.3: gaps 0.1, 0.2, 0.6, 0.6, 2 x 0.3, 0.2, 0.1.
    ("calibration_error", (0.1 + 0.2 + 0.6 + 0.6 + 0.6 + 0.2 + 0.1) / 8, set()),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value, _ in CASES])
def test_by_hand(name: str, value: float) -> None:
    assert BY_NAME[name].value(EXAMPLE) == pytest.approx(value)


def test_the_hand_worked_cases_are_all_there_are() -> None:
    assert {name for name, *_ in CASES} == {metric.name for metric in METRICS}


def test_in_a_calibration_bin_errors_of_both_signs_cancel() -> None:
    # One bin from 0.7 to 0.8 of mean score 0.75, of which 3 in 4 are malignant.
    assert BY_NAME["calibration_error"].value(scored([0.72, 0.74, 0.76, 0.78], [1, 0, 1, 1])) == pytest.approx(0)
    assert BY_NAME["calibration_error"].value(scored([1.0], [1])) == 0


def test_ninety_percent_specificity_allows_one_false_alarm_in_ten() -> None:
    # Below one benign image of ten stand two malignant ones of three; below two, the third.
    labels = [1, 0, 1, 0, 1] + [0] * 8
    of, metric = scored(np.linspace(0.9, 0.1, 13), labels), BY_NAME["sensitivity_at_90_specificity"]
    assert metric.value(of) == 2 / 3
    # Where the two above the first false alarm are there once and thrice, and the last twice: 4 of 6.
    weights = np.array([[1, 1, 3, 1, 2] + [1] * 8])
    assert metric.resampled(of, weights)[0] == pytest.approx(4 / 6)
    # The first false alarm twice is two of eleven.
    weights[0, 1] = 2
    assert metric.resampled(of, weights)[0] == pytest.approx(1 / 6)


IMAGES = 12
_cases = st.tuples(
    arrays(np.float64, IMAGES, elements=st.sampled_from([0.0, 0.2, 0.45, 0.5, 0.55, 0.8, 1.0])),
    arrays(np.int64, IMAGES, elements=st.integers(0, 1)),
    arrays(np.bool_, IMAGES),
    arrays(np.float64, IMAGES, elements=st.integers(0, 3)),
)
_ORACLES = {
    "accuracy": lambda s, w: sk.accuracy_score(s.labels, s.named, sample_weight=w),
    "balanced_accuracy": lambda s, w: sk.balanced_accuracy_score(s.labels, s.named, sample_weight=w),
    "auroc": lambda s, w: sk.roc_auc_score(s.labels, s.scores, sample_weight=w),
    "auprc": lambda s, w: sk.average_precision_score(s.labels, s.scores, sample_weight=w),
    "sensitivity": lambda s, w: sk.recall_score(s.labels, s.called, sample_weight=w),
    "specificity": lambda s, w: sk.recall_score(s.labels, s.called, pos_label=0, sample_weight=w),
    "f1": lambda s, w: sk.f1_score(s.labels, s.named, sample_weight=w),
    "loss": lambda s, w: sk.log_loss(s.labels, np.clip(s.scores, 1e-7, 1 - 1e-7), sample_weight=w),
    "brier": lambda s, w: sk.brier_score_loss(s.labels, s.scores, sample_weight=w),
}


@pytest.mark.parametrize("name", _ORACLES)
@settings(max_examples=40)
@given(case=_cases)
def test_weighted_it_is_that_of_scikit_learn(name: str, case: tuple[np.ndarray, ...]) -> None:
    scores, labels, called, weights = case
    # Without the images of weight 0: scikit-learn takes some of them for present.
    kept = weights > 0
    assume(len(np.unique(labels[kept])) == 2)
    of = scored(scores, labels, called=called)
    oracle = _ORACLES[name](of.take(kept), weights[kept])
    assert BY_NAME[name].resampled(of, weights[None])[0] == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@settings(max_examples=40)
@given(case=_cases)
def test_a_weight_of_n_is_the_image_n_times(metric: Metric, case: tuple[np.ndarray, ...]) -> None:
    scores, labels, called, weights = case
    # Patients of three images; those of a patient have one weight, as they have in a resample.
    groups = np.arange(IMAGES) // 3
    weights = weights[groups * 3]
    assume(weights.any())
    of = scored(scores, labels, groups.astype(str), called=called)
    resampled = metric.resampled(of, weights[None])[0]
    assert resampled == pytest.approx(metric.value(_repeated(of, weights.astype(int))), abs=1e-9, nan_ok=True)


def _repeated(of: Scored, times: np.ndarray) -> Scored:
    """Each image as many times as it says; a patient drawn again is another patient."""
    places = np.repeat(np.arange(len(of)), times)
    draws = np.concatenate([np.arange(count) for count in times])
    again = of.take(places)
    groups = np.array([f"{group}, draw {draw}" for group, draw in zip(again.groups, draws, strict=True)], dtype=str)
    return scored(again.scores, again.labels, groups, called=again.called)


@pytest.mark.parametrize("label", [0, 1])
def test_of_one_class_what_needs_the_other_is_undefined(label: int) -> None:
    of = scored([0.2, 0.7, 0.9], [label] * 3, ["a", "a", "b"], called=np.array([False, True, True]))
    undefined = {metric.name for metric in METRICS if math.isnan(metric.value(of))}
    assert undefined == {name for name, _, needed in CASES if 1 - label in needed}


def test_if_no_patient_is_known_what_is_of_patients_is_undefined() -> None:
    of = scored(SCORES, LABELS, called=EXAMPLE.called)
    assert {metric.name for metric in METRICS if math.isnan(metric.value(of))} == {
        metric.name for metric in METRICS if metric.by_patient
    }


def test_scores_of_two_folds_are_not_ranked_against_each_other() -> None:
    # Each fold's order is perfect, on a scale of its own: together they would be 3 / 4.
    of = scored([0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0], folds=np.array([0, 0, 1, 1]))
    assert BY_NAME["auroc"].value(of) == 1
    assert BY_NAME["auroc"].resampled(of, np.array([[1, 2, 3, 4], [1, 0, 1, 1]]))[0] == 1
    assert BY_NAME["accuracy"].value(of) == 0.5


def test_a_fold_without_one_class_leaves_its_ranking_undefined() -> None:
    of = scored([0.9, 0.8, 0.2, 0.1], [1, 0, 1, 1], folds=np.array([0, 0, 1, 1]))
    assert math.isnan(BY_NAME["auroc"].value(of))
    assert BY_NAME["accuracy"].value(of) == 1 / 4


def test_what_a_figure_rests_on_is_counted_in_groups() -> None:
    # Malignant images are of the groups a and b, benign ones of c and d.
    of = scored(SCORES[:5], LABELS[:5], ["a", "a", "b", "c", "d"])
    assert [BY_NAME[name].evidence(of) for name in ("accuracy", "sensitivity", "specificity", "auroc")] == [4, 2, 2, 2]
