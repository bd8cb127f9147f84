"""Smoke tests: test sets of too few patients, or images if no patients are known, whatever the result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bcdl.evaluation import smoke
from bcdl.records.record import Record
from tests.factory import record
from tests.predictions import predicted, split


def scored_on(images: int, patients: int | None = None, right: float = 0.5, **changes: object) -> Record:
    """A record of so many test images, of which that share is named right."""
    labels = np.arange(images) % 2
    scores = np.where(np.arange(images) < right * images, labels, 1 - labels)
    groups = None if patients is None else [f"p{place % patients}" for place in range(images)]
    return predicted(split(scores, labels, groups), **changes)


@given(st.integers(1, 2000))
def test_the_rule_is_the_reach_of_wilsons_interval(half: int) -> None:
    interval = stats.binomtest(half, 2 * half, 0.5).proportion_ci(0.95, method="wilson")
    assert smoke.reach(2 * half) == pytest.approx(interval.high - 0.5, rel=1e-3)
    assert smoke.Images(2 * half, None).is_smoke_test == (interval.high - 0.5 > smoke.MOST_REACH)


def test_ninety_three_are_the_fewest_that_are_none() -> None:
    assert smoke.reach(93) <= smoke.MOST_REACH < smoke.reach(92)
    assert smoke.LEAST_UNITS == 93


@settings(deadline=None)  # the first record draws the images that it is of
@given(st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_the_result_does_not_matter(images: int, right: float, other: float) -> None:
    assert smoke.note([scored_on(images, right=right)]) == smoke.note([scored_on(images, right=other)])


@pytest.mark.parametrize(
    ("images", "patients", "note"),
    [
        (92, None, "smoke test: 92 images"),
        (93, None, ""),
        (400, 92, "smoke test: 400 images of 92 groups"),
        (400, 93, ""),
    ],
)
def test_patients_are_counted_if_they_are_known(images: int, patients: int | None, note: str) -> None:
    assert smoke.note([scored_on(images, patients)]) == note


def test_images_of_folds_count_together_and_those_of_seeds_once() -> None:
    folds = [scored_on(50, folds=2, fold=fold) for fold in range(2)]
    for number, entry in enumerate(folds):  # images of two folds never share a name
        test = entry.predictions["test"]
        test["names"] = test["groups"] = [f"{number} {name}" for name in test["names"]]
    assert smoke.note(folds) == ""
    assert smoke.note(folds[:1]) == "smoke test: 50 images"
    assert smoke.note([scored_on(50, seed=seed) for seed in range(2)]) == "smoke test: 50 images"


def test_a_seed_that_lacks_a_fold_makes_no_smoke_test_of_the_others() -> None:
    assert smoke.note([scored_on(93), scored_on(40, seed=1), record(seed=2, status="failed")]) == ""


def test_without_predictions_the_counts_of_the_record_are_taken() -> None:
    assert smoke.note([record()]) == "smoke test: 12 images of 3 groups"
    counts = {"images": {"test": 400}, "groups": {"test": 400}}
    assert smoke.note([dataclasses.replace(record(), dataset={**record().dataset, **counts})]) == ""


def test_what_is_shown_of_validation_counts_its_images() -> None:
    assert smoke.note([record()], "val") == "smoke test, validated on 12 images of 3 groups"
    assert smoke.note([scored_on(93)], "val") == ""


def test_nothing_is_said_of_what_was_not_tested() -> None:
    assert smoke.note([record(status="failed")]) == smoke.note([]) == ""
