"""ROC and calibration curves against cases worked by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from bcdl.evaluation import curves
from tests.predictions import scored


def test_the_roc_curve_is_that_of_scikit_learn_and_has_its_area() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(202) % 2
    scores = np.round(np.clip(generator.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 1)
    curve = curves.roc([scored(scores, labels)])
    false, true, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    # 101 benign images: every rate is one that the curve can stand at, or lies between two.
    np.testing.assert_allclose(curve.sensitivity, np.interp(curves.RATES, false, true))
    assert np.trapezoid(curve.sensitivity, curves.RATES) == pytest.approx(sk.roc_auc_score(labels, scores), abs=0.01)
    assert (curve.low <= curve.sensitivity).all()
    assert (curve.sensitivity <= curve.high).all()


def test_where_a_curve_rises_the_upper_end_counts() -> None:
    # Both malignant images before any benign one.
    curve = curves.roc([scored([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])])
    assert curve.sensitivity.tolist() == [1.0] * len(curves.RATES)
    assert np.isnan(curve.low).all()  # of two patients a class there is no band


def test_curves_of_seeds_and_folds_are_averaged_at_one_rate() -> None:
    good, bad = scored([0.9, 0.1], [1, 0]), scored([0.1, 0.9], [1, 0])
    # Perfect and perfectly wrong: 1 everywhere, and 0 up to a rate of 1.
    expected = np.r_[np.full(100, 0.5), 1.0]
    np.testing.assert_allclose(curves.roc([good, bad]).sensitivity, expected)
    folds = scored([0.9, 0.1, 0.1, 0.9], [1, 0, 1, 0], folds=np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(curves.roc([folds]).sensitivity, expected)


def test_of_one_class_there_is_no_curve() -> None:
    assert curves.roc([scored([0.9, 0.1], [1, 1])]) is None


def test_calibration_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    scores = generator.uniform(0, 1, 200)
    labels = (generator.uniform(0, 1, 200) < scores).astype(int)
    bins = curves.calibration([scored(scores, labels)])
    share, mean = calibration_curve(labels, scores, n_bins=10)
    np.testing.assert_allclose([each.malignant for each in bins], share)
    np.testing.assert_allclose([each.score for each in bins], mean)
    assert sum(each.images for each in bins) == 200
    assert all(each.low <= each.malignant <= each.high for each in bins)


def test_seeds_share_the_bins_of_calibration() -> None:
    first, second = scored([0.91, 0.92], [1, 0]), scored([0.93, 0.11], [1, 0])
    low, high = curves.calibration([first, second])
    # Three scores in the upper bin, two of malignant images; half as many images as scores.
    assert (high.malignant, high.images) == (2 / 3, 1.5)
    assert (low.malignant, low.images, low.middle) == (0, 0.5, pytest.approx(0.15))
    assert np.isnan(high.low)
