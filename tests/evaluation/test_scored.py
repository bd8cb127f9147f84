"""From records to scored images: folds, seeds, and the threshold of validation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sk

from bcdl.evaluation import scored
from tests.factory import record
from tests.predictions import predicted, split

VAL = split([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("labels", "threshold"),
    [
        ([0, 0, 1, 1], 0.6),
        ([1, 1, 1, 1], None),
        # Sensitivity + specificity - 1 is 1/2 at 0.8 (1 of 2 and 2 of 2) and at 0.4 (2 of 2 and 1 of 2): the lower.
        ([0, 1, 0, 1], 0.4),
        # The wrong way round no threshold beats chance: then none is missed.
        ([1, 1, 0, 0], 0.2),
    ],
)
def test_youdens_threshold(labels: list[int], threshold: float | None) -> None:
    assert scored.youden_threshold(np.array(labels), np.array([0.2, 0.4, 0.6, 0.8])) == threshold


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])), min_size=2, max_size=12))
def test_youdens_threshold_is_the_lowest_of_the_best_points_of_scikit_learns_curve(
    images: list[tuple[bool, float]],
) -> None:
    labels, scores = (np.array(column) for column in zip(*images, strict=True))
    assume(len(np.unique(labels)) == 2)
    false, true, thresholds = sk.roc_curve(labels, scores, drop_intermediate=False)
    best = thresholds[true - false > (true - false).max() - 1e-9]
    assert scored.youden_threshold(labels, scores) == best.min()


def test_test_images_are_called_at_the_threshold_of_validation() -> None:
    of = scored.pool([predicted(split([0.3, 0.4, 0.45], [0, 1, 1]), VAL)])
    # 0.4 was the threshold; at 0.5, all would be benign.
    assert of.called is not None
    assert of.called.tolist() == [False, True, True]
    assert of.named.tolist() == [False, False, False]


def test_without_validation_there_is_no_threshold() -> None:
    assert scored.pool([predicted(split([0.3, 0.4], [0, 1]))]).called is None
    one_class = split([0.3, 0.4], [1, 1])
    assert scored.pool([predicted(split([0.3, 0.4], [0, 1]), one_class)]).called is None


def test_folds_are_pooled_each_at_its_own_threshold() -> None:
    lower = split([0.1, 0.2], [0, 1])
    folds = [
        predicted(split([0.3, 0.4], [0, 1], ["c", "c"]), lower, folds=2, fold=1),
        predicted(split([0.3, 0.4], [0, 1], ["a", "b"]), VAL, folds=2, fold=0),
        predicted(split([0.5], [0]), seed=7),
    ]
    pooled = scored.by_seed(folds)
    assert list(pooled) == [0, 7]
    assert pooled[0].groups.tolist() == ["a", "b", "c", "c"]
    assert pooled[0].folds.tolist() == [0, 0, 1, 1]
    assert pooled[0].called.tolist() == [False, True, True, True]


def test_records_without_predictions_are_left_out() -> None:
    assert scored.by_seed([record(), record(status="crashed")]) == {}


def test_patients_are_known_where_one_has_two_images() -> None:
    assert scored.pool([predicted(split([0.3, 0.4], [0, 1], ["a", "a"]))]).grouped
    assert not scored.pool([predicted(split([0.3, 0.4], [0, 1]))]).grouped


def test_outputs_that_were_not_finite_do_not_stop_a_report() -> None:
    test = split([0.3, 0.4], [0, 1])
    test["outputs"][0] = [None, None]
    assert scored.pool([predicted(test)]).named.tolist() == [False, False]


def test_images_of_no_known_patient_are_counted() -> None:
    test = split([0.3, 0.4, 0.6], [0, 1, 1], ["a", "a", "image 2"])
    made = predicted(test)
    pooled = scored.pool([made])
    assert (pooled.grouped, pooled.ungrouped, pooled.group_count) == (True, 1, 2)
    assert pooled.take(np.array([True, False, False])).ungrouped == 0
    named_so = dataclasses.replace(made, dataset={**made.dataset, "ungrouped": {"test": 0}})
    assert scored.pool([named_so]).ungrouped == 0  # a table may give an image its own name


def test_seeds_of_the_same_images_share_their_weights() -> None:
    """A copy of them for each of a thousand seeds would take more memory than there is."""
    same = [scored.pool([predicted(split([0.2, 0.8] * 3, [0, 1] * 3), seed=seed)]) for seed in range(2)]
    other = scored.pool([predicted(split([0.2, 0.8] * 2, [0, 1] * 2))])
    for first, second, third in scored.resamples([*same, other]):
        assert first is second
        assert third.shape[1] == 4
