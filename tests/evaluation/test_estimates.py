"""Estimates over seeds, folds and patients."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from bcdl.evaluation import estimates
from bcdl.evaluation.metrics import BY_NAME
from bcdl.records.groups import Group
from bcdl.report import formats
from tests.predictions import drawn, predicted, scored


def test_images_of_a_patient_count_as_one_patient() -> None:
    # 100 patients, half of them all right and half all wrong, with 4 images each: the binomial interval of 100.
    labels = np.repeat(np.arange(100) % 2, 4)
    of = scored(np.full(400, 0.9), labels, np.repeat(np.arange(100), 4).astype(str))
    result = estimates.estimates([of], [BY_NAME["accuracy"]])["accuracy"]
    assert result.value == 0.5
    assert result.high - result.low == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 100), rel=0.1)
    apart = dataclasses.replace(of, groups=np.arange(400).astype(str))
    result = estimates.estimates([apart], [BY_NAME["accuracy"]])["accuracy"]
    assert result.high - result.low == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 400), rel=0.1)


def test_the_same_figures_every_time() -> None:
    test = drawn(40, patients=10)
    images = scored(test["scores"], test["labels"], test["groups"], called=np.array(test["scores"]) > 0.4)
    assert estimates.estimates([images]) == estimates.estimates([images])


def test_seeds_are_averaged_over_the_same_patients() -> None:
    labels = np.arange(200) % 2
    right, wrong = np.where(labels, 0.9, 0.1), np.where(labels, 0.1, 0.9)
    half = np.where(np.arange(200) < 100, right, wrong)
    # What one seed has right the other has wrong: their mean is a half in every resample.
    result = estimates.estimates([scored(half, labels), scored(1 - half, labels)], [BY_NAME["accuracy"]])["accuracy"]
    assert (result.value, result.seeds) == (0.5, (0.5, 0.5))
    assert math.isnan(result.low)
    # Of two seeds that are alike, the interval is that of one: seeds are no more patients.
    once, twice = (estimates.estimates([scored(half, labels)] * n, [BY_NAME["accuracy"]])["accuracy"] for n in (1, 2))
    assert (once.low, once.high) == (twice.low, twice.high)


def test_of_a_model_that_is_calibrated_the_error_may_be_none() -> None:
    # Every resample is worse calibrated than the images, whose error is chance alone.
    generator = np.random.default_rng(0)
    scores = generator.uniform(0, 1, 60)
    of = scored(scores, (generator.uniform(0, 1, 60) < scores).astype(int))
    result = estimates.estimates([of], [BY_NAME["calibration_error"]])["calibration_error"]
    assert result.low < 0.05 < result.value < result.high


def test_undefined_resamples_are_reported() -> None:
    # One malignant image of six: in (5/6)^6, about a third, of all resamples there is none.
    images = scored([0.9, 0.1, 0.2, 0.3, 0.4, 0.5], [1, 0, 0, 0, 0, 0])
    result = estimates.estimates([images], [BY_NAME["auroc"]])["auroc"]
    assert result.undefined / 2000 == pytest.approx((5 / 6) ** 6, abs=0.05)
    assert formats.estimate(dataclasses.replace(result, low=0.5, high=1.0)).endswith(
        f"to 1.000; {result.undefined} of 2000 undefined)"
    )


def test_the_majority_class_is_scored_as_any_model() -> None:
    of = estimates.majority(scored([0.9] * 10, [1, 1, 1, 0, 0, 0, 0, 0, 0, 0], list("aabcdefghh")))
    # 3 malignant images of 10: the score 0.3 of each, so that Brier's is 0.3 x 0.7 and the loss the entropy.
    entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    values = {
        **{"accuracy": 0.7, "balanced_accuracy": 0.5, "auroc": 0.5, "auprc": 0.3, "f1": 0, "brier": 0.21},
        **{"sensitivity": 0, "specificity": 1, "sensitivity_at_90_specificity": 0, "calibration_error": 0},
        # Patients a and b, whose images are malignant, are named wrong.
        **{"recognition_rate": 6 / 8, "loss": entropy},
    }
    assert {name: BY_NAME[name].value(of) for name in values} == pytest.approx(values)


def test_the_results_of_a_group_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and three plots show them."""
    computed: list[object] = []
    compute = estimates.estimates
    monkeypatch.setattr(estimates, "estimates", lambda *of: (computed.append(of), compute(*of))[1])
    first, second = (Group("m", "c", (predicted(drawn(40)),)) for _ in range(2))
    assert estimates.results(first) is estimates.worth_drawing(first) is estimates.results(first)
    assert len(computed) == 1
    assert estimates.results(second) is not estimates.results(first)
