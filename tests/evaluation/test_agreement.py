"""Pairs of models on the same images, against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bcdl.evaluation import agreement
from bcdl.evaluation.agreement import Judged, Refused, Verdict
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from tests.predictions import grid, guessed, named, predicted, scored


def group(*records: Record) -> Group:
    return Group("m", "c", records)


def both(a: str, b: str, labels: str, groups: list[str] | None = None) -> agreement.Agreement:
    wanted = (np.array(list(labels)) == "m").astype(int)
    return agreement.compare(*(Judged.of(scored(scores, wanted, groups)) for scores in named(a, b)))


def test_agreement_by_hand() -> None:
    # Of ten malignant images a names 5 so and b 9; 4 both, 0 neither.
    result = both("mmmmmbbbbb", "mmmmbmmmmm", "mmmmmmmmmm")
    assert result.share == 0.4
    assert (result.only_a, result.only_b) == (1, 5)
    # Of 6 fair coins, at most one falls on either side: 2 x (1 + 6) / 64.
    assert result.p == pytest.approx(14 / 64)
    # By chance they agree on 0.5 x 0.9 + 0.5 x 0.1 = 0.5.
    assert result.kappa == pytest.approx((0.4 - 0.5) / (1 - 0.5))
    assert result.flipped == ("image 4", "image 5", "image 6", "image 7", "image 8", "image 9")
    assert result.largest == pytest.approx(0.6)
    assert result.accuracy.value == pytest.approx(0.4)
    assert math.isnan(result.auroc.value)


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    # 200 images, each model right on 3 in 4, and both on the same but for four.
    a = "m" * 150 + "b" * 50
    b = "b" * 2 + "m" * 150 + "b" * 48
    result = both(a, b, "m" * 200)
    assert result.accuracy.value == 0
    # Of n images with d flipped either way, Wald's interval is 1.96 sqrt(d) / n to either side.
    reach = 1.96 * math.sqrt(4) / 200
    assert (result.accuracy.low, result.accuracy.high) == pytest.approx((-reach, reach), abs=0.006)


@pytest.mark.parametrize(
    ("images", "b", "verdict"),
    [
        (127, "", Verdict.EQUIVALENT),
        # As good as they are: of twelve images without a flip it may still be one in six.
        (12, "", Verdict.NOT_SHOWN),
        (127, "b" * 10, Verdict.NOT_SHOWN),
        (127, "b" * 40, Verdict.DIFFERENT),
    ],
)
def test_verdicts(images: int, b: str, verdict: Verdict) -> None:
    a = "m" * (images // 2) + "b" * (images - images // 2)
    assert both(a, b + a[len(b) :], a).verdict == verdict


def test_many_images_of_few_patients_show_nothing() -> None:
    a = "mb" * 200
    assert both(a, a, a).verdict is Verdict.EQUIVALENT
    assert both(a, a, a, [str(place // 40) for place in range(400)]).verdict is Verdict.NOT_SHOWN
    assert both(a, a, a, [str(place // 100) for place in range(400)]).accuracy.value == 0


def test_agreeing_on_one_class_is_known_to_be_empty() -> None:
    result = both("b" * 127, "b" * 127, "mb" * 63 + "b")
    assert result.verdict is Verdict.EQUIVALENT
    assert result.one_class
    assert math.isnan(result.kappa)


@settings(max_examples=30)
@given(arrays(np.float64, (2, 20), elements=st.floats(0, 1)), arrays(np.int64, 20, elements=st.integers(0, 1)))
def test_turned_round_the_signs_change_and_nothing_else(scores: np.ndarray, labels: np.ndarray) -> None:
    a, b = (Judged.of(scored(side, labels)) for side in scores)
    there, back = agreement.compare(a, b), agreement.compare(b, a)
    assert (there.flipped, there.p, there.only_a) == (back.flipped, back.p, back.only_b)
    for each, other in ((there.accuracy, back.accuracy), (there.auroc, back.auroc)):
        assert (each.value, each.low, each.high) == pytest.approx((-other.value, -other.high, -other.low), nan_ok=True)
    assert math.isnan(there.accuracy.low) or there.accuracy.low <= there.accuracy.value <= there.accuracy.high


def test_backends_are_compared_and_seeds_beside_them() -> None:
    result, refused = agreement.pairs(group(*grid()))
    assert [(pair.across, pair.a, pair.b, pair.same) for pair in result] == [
        ("backends", "jax", "torch", "seed 0"),
        ("backends", "jax", "torch", "seed 1"),
        ("seeds", "seed 0", "seed 1", "jax"),
        ("seeds", "seed 0", "seed 1", "torch"),
    ]
    assert refused == []


def test_folds_are_compared_together() -> None:
    folds = [
        predicted(guessed(place, 20), backend=backend, folds=2, fold=fold)
        for place, backend in enumerate(("jax", "torch"))
        for fold in (1, 0)
    ]
    for each in folds:
        test = each.predictions["test"]
        test["names"] = test["groups"] = [f"{each.cell.fold} {name}" for name in test["names"]]
    ((pair,), _) = agreement.pairs(group(*folds))
    assert (pair.images, pair.agreement.flipped[0].split()[0]) == (40, "0")
    result, refused = agreement.pairs(group(*folds[:-1]))
    assert (result, refused) == ([], [Refused(Line("cnn", "none"), "jax", "torch", "seed 0", "not the same folds ran")])


def test_what_did_not_start_alike_is_not_compared() -> None:
    first, second = predicted(guessed(0), backend="jax"), predicted(guessed(1), backend="torch", weights="others")
    result, refused = agreement.pairs(group(first, second))
    reason = "not known to have started from the same weights"
    assert (result, refused) == ([], [Refused(Line("cnn", "none"), "jax", "torch", "seed 0", reason)])


def test_other_test_images_are_not_compared() -> None:
    first, second = predicted(guessed(0), backend="jax"), predicted(guessed(1, 38), backend="torch")
    _, refused = agreement.pairs(group(first, second))
    reason = "not the same images or splits"
    assert refused == [Refused(Line("cnn", "none"), "jax", "torch", "seed 0", reason)]
