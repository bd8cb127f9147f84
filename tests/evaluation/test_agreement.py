"""Pairs of models on the same images, against cases worked by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from bcdl.evaluation import agreement, estimates
from bcdl.evaluation.agreement import Judged, Refused, Verdict
from bcdl.records.groups import Group, Line, group_records
from bcdl.records.record import Record
from bcdl.statistics.estimated import Estimated
from tests.predictions import grid, guessed, named, predicted, scored, split


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


def test_one_cell_on_two_machines_is_compared_over_the_folds_that_both_ran() -> None:
    def fold(scores: list[float], number: int) -> Record:
        test = split(scores, [1, 1, 0])
        test["names"] = [f"{number}-{name}" for name in test["names"]]
        return predicted(test, timing=False, folds=3, fold=number)

    a = [("m", fold([0.9, 0.4, 0.1], number)) for number in (0, 1, 2)]
    b = [("n", fold([0.9, 0.6, 0.1], number)) for number in (0, 2)]
    (made,) = group_records([a[0], b[1], b[0], *a[1:]])  # each was the first at some fold
    compared, refused = agreement.pairs(made)
    assert refused == []
    (pair,) = compared
    assert (pair.across, pair.a, pair.b, pair.same, pair.images) == ("machines", "m", "n", "torch, seed 0", 6)
    assert pair.agreement.flipped == ("0-image 1", "2-image 1")
    assert pair.agreement.accuracy.value == pytest.approx(2 / 6)


def test_two_machines_are_compared_only_if_nothing_else_differs() -> None:
    def tested(**environment: object) -> Record:
        made = predicted(split([0.9, 0.4, 0.1], [1, 1, 0]), timing=False)
        return dataclasses.replace(made, environment={**made.environment, **environment})

    (made,) = group_records([("m", tested(code="1")), ("n", tested(code="2"))])
    compared, refused = agreement.pairs(made)
    assert compared == []
    assert [(each.across, each.reason) for each in refused] == [("machines", "not the same code")]


def test_a_pair_that_two_machines_trained_says_so() -> None:
    """What sets such models apart is not the backend alone."""

    def on(hardware: str, backend: str) -> Record:
        made = predicted(split([0.9, 0.4, 0.1], [1, 1, 0]), timing=False, backend=backend)
        return dataclasses.replace(made, environment={**made.environment, "identity": {"hardware": hardware}})

    ((apart,), _), ((together,), _) = (
        agreement.pairs(*group_records([("m", on("1", "jax")), ("n", on(other, "torch"))])) for other in "21"
    )
    assert (apart.same, together.same) == ("seed 0, on different machines", "seed 0")


def test_flips_of_one_patient_count_together() -> None:
    """Five images that b alone names right: if all are independent one chance in 16, and if of two patients in 2."""
    a, b, labels = "bbbbb" + "m" * 10, "m" * 15, "m" * 15
    apart = both(a, b, labels)
    assert apart.p == apart.p_by_patient == pytest.approx(2 / 2**5)
    of_two = both(a, b, labels, ["x", "x", "x", "y", "y", *map(str, range(10))])
    assert of_two.p == pytest.approx(2 / 2**5)
    assert of_two.p_by_patient == pytest.approx(2 / 2**2)


def test_a_patient_whose_flips_cancel_says_nothing() -> None:
    result = both("bm" + "b" * 4 + "m" * 6, "mb" + "m" * 4 + "m" * 6, "m" * 12, ["x", "x", *map(str, range(10))])
    assert (result.only_a, result.only_b) == (1, 5)
    assert result.p_by_patient == pytest.approx(2 / 2**4)


@settings(max_examples=30)
@given(arrays(np.float64, (2, 20), elements=st.floats(0, 1)), arrays(np.int64, 20, elements=st.integers(0, 1)))
def test_with_an_image_a_patient_both_tests_are_one(scores: np.ndarray, labels: np.ndarray) -> None:
    result = agreement.compare(*(Judged.of(scored(side, labels)) for side in scores))
    assert result.p_by_patient == pytest.approx(result.p)


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
    assert (result, refused) == (
        [],
        [Refused(Line("cnn", "none"), "jax", "torch", "seed 0", "backends", "not the same folds ran")],
    )


def test_what_did_not_start_alike_is_not_compared() -> None:
    first, second = predicted(guessed(0), backend="jax"), predicted(guessed(1), backend="torch", weights="others")
    result, refused = agreement.pairs(group(first, second))
    reason = "not known to have started from the same weights"
    assert (result, refused) == ([], [Refused(Line("cnn", "none"), "jax", "torch", "seed 0", "backends", reason)])


def test_other_test_images_are_not_compared() -> None:
    first, second = predicted(guessed(0), backend="jax"), predicted(guessed(1, 38), backend="torch")
    _, refused = agreement.pairs(group(first, second))
    reason = "not the same images or splits"
    assert refused == [Refused(Line("cnn", "none"), "jax", "torch", "seed 0", "backends", reason)]


def over_seeds(*wrong_of_b: int, images: int = 200, wrong_of_a: int = 20) -> agreement.OverSeeds:
    """Two backends over seeds, of which a names so many images of 200 wrong, and b so many by seed."""
    labels = [place % 2 for place in range(images)]

    def test_of(wrong: int, start: int) -> dict[str, list]:
        turned = [(start + place) % images for place in range(wrong)]
        return split([0.2 + 0.6 * (label != (place in turned)) for place, label in enumerate(labels)], labels)

    records = [
        predicted(test_of(wrong, start), seed=seed, weights=f"start {seed}", backend=backend)
        for seed, wrong_of_seed in enumerate(wrong_of_b)
        for backend, wrong, start in (("jax", wrong_of_a, 0), ("torch", wrong_of_seed, 100))
    ]
    pairs, _ = agreement.pairs(group(*records))
    (row,) = agreement.over_seeds(pairs)
    return row


def test_two_backends_over_three_seeds_by_hand() -> None:
    """Differences of -0.025, 0.075 and 0.05: three seeds can't tell what a fourth would say."""
    row = over_seeds(25, 5, 10)
    assert (row.a, row.b, row.seeds) == ("jax", "torch", ("seed 0", "seed 1", "seed 2"))
    assert row.differences == pytest.approx((-0.025, 0.075, 0.05))
    # Their mean 0.0333, its standard error 0.0520 / sqrt(3); Student's t of two degrees of freedom is 4.303.
    reach = 4.303 * 0.05204 / math.sqrt(3)
    assert row.over_seeds.value == pytest.approx(0.1 / 3)
    assert (row.over_seeds.low, row.over_seeds.high) == pytest.approx((0.1 / 3 - reach, 0.1 / 3 + reach), abs=1e-4)
    assert row.accuracy.low < row.over_seeds.low < row.over_seeds.high < row.accuracy.high
    assert row.verdict is Verdict.NOT_SHOWN


def test_seeds_that_agree_are_equivalent_only_if_patients_are_enough() -> None:
    """Three seeds without any difference have an interval over seeds of no width, however few images there are."""
    many, few = over_seeds(2, 2, 2, wrong_of_a=2), over_seeds(1, 1, 1, images=12, wrong_of_a=1)
    assert many.over_seeds == few.over_seeds == Estimated(0, 0, 0)
    assert (many.verdict, few.verdict) == (Verdict.EQUIVALENT, Verdict.NOT_SHOWN)


def test_seeds_that_differ_are_not_equivalent_although_each_pair_is() -> None:
    row = over_seeds(24, 16, images=1000)
    assert row.differences == pytest.approx((-0.004, 0.004))
    # Student's t of one degree of freedom: 12.7 times 0.004.
    assert row.over_seeds.high == pytest.approx(0.0508, abs=1e-4)
    assert row.verdict is Verdict.NOT_SHOWN


def test_one_seed_has_no_row_over_seeds_nor_have_two_seeds_on_one_backend() -> None:
    pairs, _ = agreement.pairs(group(*grid()))
    assert agreement.over_seeds(pair for pair in pairs if pair.same == "seed 0") == []
    assert agreement.over_seeds(pair for pair in pairs if pair.across == "seeds") == []
    assert len(agreement.over_seeds(pairs)) == 1


def test_seeds_with_other_images_are_not_taken_together() -> None:
    records = [
        predicted(guessed(10 * seed + place, 40 - 2 * seed), seed=seed, weights=f"start {seed}", backend=backend)
        for seed in (0, 1)
        for place, backend in enumerate(("jax", "torch"))
    ]
    pairs, _ = agreement.pairs(group(*records))
    assert [pair.across for pair in pairs] == ["backends", "backends"]
    assert agreement.over_seeds(pairs) == []


def test_of_many_seeds_the_first_are_compared_with_each_other_and_more_with_another_backend() -> None:
    seeds = estimates.MOST_SEEDS + 4
    images = split([0.2, 0.8] * 4, [0, 1] * 4)
    records = [predicted(images, seed=seed, backend=backend) for seed in range(seeds) for backend in ("jax", "torch")]
    pairs, refused = agreement.pairs(group(*records))
    of_seeds = [pair for pair in pairs if pair.across == "seeds"]
    assert not refused
    assert len(of_seeds) == 2 * math.comb(estimates.MOST_SEEDS, 2)
    assert {pair.b for pair in of_seeds} == {f"seed {seed}" for seed in range(1, estimates.MOST_SEEDS)}
    assert len(pairs) - len(of_seeds) == seeds
    assert agreement.most_seeds(group(*records)) == seeds


@given(arrays(np.bool_, 12), arrays(np.bool_, 12))
def test_kappa_is_that_of_scikit_learn(a: np.ndarray, b: np.ndarray) -> None:
    labels = [0, 1] * 6
    first, second = (Judged.of(scored(np.where(of, 0.8, 0.2), labels)) for of in (a, b))
    if len(np.unique([a, b])) == 2:
        expected = sk.cohen_kappa_score(a, b, labels=[False, True])
        assert agreement.compare(first, second).kappa == pytest.approx(expected, abs=1e-12)


def test_backends_are_compared_over_so_many_seeds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "MOST_SHARED_SEEDS", 3)
    records = [
        predicted(guessed(seed), seed=seed, weights=f"start {seed}", backend=backend)
        for backend in ("jax", "torch")
        for seed in range(5)
    ]
    pairs, _ = agreement.pairs(group(*records))
    assert {pair.same for pair in pairs if pair.across == "backends"} == {"seed 0", "seed 1", "seed 2"}
