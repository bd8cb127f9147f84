"""The effect of one side on another, on rates whose truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bcdl.report import formats
from bcdl.statistics import bootstrap, effects

RATES = [100.0, 101.0, 99.5, 100.5, 99.0, 100.2, 101.5, 98.8, 100.9, 99.7]


def test_ten_rounds_that_agree_give_the_least_p_there_is() -> None:
    effect = effects.paired(RATES, [rate * 0.9 for rate in RATES])
    assert effect.p == pytest.approx(2 / 2**10)
    assert effect.ratio == pytest.approx(0.9)
    assert (effect.low, effect.high) == pytest.approx((0.9, 0.9))
    assert effect.delta == -1


def test_seven_processes_apart_give_p_under_a_five_hundredth() -> None:
    effect = effects.independent(RATES[:7], [rate * 0.9 for rate in RATES[:7]])
    assert effect.p == pytest.approx(2 / 3432)


def test_drift_shared_by_a_round_does_not_hide_an_effect() -> None:
    drift = np.linspace(1, 3, 10)
    a, b = list(100 * drift), list(95 * drift)
    assert effects.paired(a, b).p < 0.01
    assert effects.independent(a, b).p > 0.5


def test_equal_sides_raise_few_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "process_interval", lambda *arguments: (math.nan, math.nan))  # not asked for here
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        a, b = generator.lognormal(0, 0.1, (2, 8))
        alarms += effects.paired(list(a), list(b)).p < 0.05
    # Binomial(200, 0.05) lies above 20 once in 500 times.
    assert alarms <= 20


def test_intervals_of_few_processes_hold_the_truth_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage of 95 percent intervals in 400 draws, of the fewest there may be and of seven; and of plain ones."""
    monkeypatch.setattr(effects, "_permutation_p", lambda *arguments: math.nan)  # most of the time, and not asked for
    held = {count: _held(count) for count in (6, 7)}
    monkeypatch.setattr(bootstrap, "process_tail", lambda count: 0.025)
    # Binomial(400, 0.95) lies below 366 once in 500 times.
    assert min(min(counts.values()) for counts in held.values()) >= 366, held
    assert max(_held(7).values()) < 366


def _held(count: int) -> dict[str, int]:
    """How many intervals of 400 draws of so many processes, both sides equal, hold a ratio of 1."""
    generator = np.random.default_rng(0)
    held = {"in turn": 0, "apart": 0}
    for _ in range(400):
        a, b = (list(side) for side in generator.lognormal(0, 0.1, (2, count)))
        for name, effect in {"in turn": effects.paired(a, b), "apart": effects.independent(a, b)}.items():
            held[name] += effect.low <= 1 <= effect.high
    return held


def test_fewer_than_six_processes_have_no_interval() -> None:
    effect = effects.paired(RATES[:5], RATES[5:])
    assert np.isnan([effect.low, effect.high]).all()
    assert formats.interval(effect.low, effect.high) == ""


def test_the_luckiest_of_many_equal_settings_is_seldom_called_better() -> None:
    """Of ten settings that change nothing, seven rounds each, the best in 400 draws: as if alone, and as picked."""
    generator = np.random.default_rng(0)
    better = {1: 0, 10: 0}
    for _ in range(400):
        default, *others = generator.lognormal(0, 0.1, (11, 7))
        best = max(others, key=lambda rates: np.log(rates).mean())
        for tried in better:
            better[tried] += effects.interval_of_best(list(default), list(best), tried)[0] > 1
    # Each tail is 0.025: Binomial(400, 0.025) lies above 20 once in 500 times.
    assert better[10] <= 20 < better[1], better


def test_the_interval_of_the_best_widens_with_the_number_tried() -> None:
    widths = [np.subtract(*effects.interval_of_best(RATES, RATES[::-1], tried)[::-1]) for tried in (1, 5, 20)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=8))
def test_a_side_against_itself_has_no_effect(rates: list[float]) -> None:
    effect = effects.paired(rates, rates)
    assert effect.ratio == pytest.approx(1)
    assert effect.p == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_never_lowers_a_p(p_values: list[float]) -> None:
    corrected = effects.holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert list(np.array(corrected)[order]) == sorted(corrected)
    assert min(corrected) == pytest.approx(min(1, min(p_values) * len(p_values)))


def test_holms_own_steps() -> None:
    assert effects.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_the_standard_error_is_that_of_the_mean_of_the_rounds_log_ratios() -> None:
    effect = effects.paired([1.0, 1.0, 1.0], [math.exp(0.1), math.exp(0.2), math.exp(0.3)])
    assert effect.standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert math.isnan(effects.paired([1.0], [2.0]).standard_error)


def test_the_standard_error_of_sides_measured_apart_is_that_of_both() -> None:
    logs = [0.1, 0.2, 0.3]
    effect = effects.independent([math.exp(log) for log in logs], [math.exp(2 * log) for log in logs])
    assert effect.standard_error == pytest.approx(math.hypot(0.1, 0.2) / math.sqrt(3))


def test_hodges_and_lehmann_by_hand() -> None:
    # Log ratios 0, 1 and 5: means of two 0, 0.5, 1, 2.5, 3 and 5.
    effect = effects.paired([1.0] * 3, [1.0, math.e, math.exp(5)])
    assert effect.hodges_lehmann == pytest.approx(math.exp((1 + 2.5) / 2))
    # Differences of 1, 3 and 8 from 0 and 2: 1, 3, 8, -1, 1, 6.
    apart = effects.independent([1.0, math.exp(2)], [math.e, math.exp(3), math.exp(8)])
    assert apart.hodges_lehmann == pytest.approx(math.exp((1 + 3) / 2))


def test_two_slow_rounds_of_seven_hardly_move_hodges_and_lehmann() -> None:
    effect = effects.paired([75.0, 75.0, 100.0, 100.0, 100.0, 100.0, 100.0], [104.0] * 7)
    assert effect.ratio == pytest.approx(1.04 * (1 / 0.75) ** (2 / 7))  # 1.129
    assert effect.hodges_lehmann == pytest.approx(1.04)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=7), st.floats(0.1, 10))
def test_hodges_and_lehmann_turn_with_the_sides_and_grow_with_the_ratios(ratios: list[float], factor: float) -> None:
    ones = [1.0] * len(ratios)
    middle = effects.paired(ones, ratios).hodges_lehmann
    assert min(ratios) * (1 - 1e-9) <= middle <= max(ratios) * (1 + 1e-9)
    assert effects.paired(ratios, ones).hodges_lehmann == pytest.approx(1 / middle)
    assert effects.paired(ones, [factor * ratio for ratio in ratios]).hodges_lehmann == pytest.approx(factor * middle)


def test_the_interval_of_two_values_is_students_on_one_degree_of_freedom() -> None:
    # Student's t of one degree of freedom leaves out 2.5 percent beyond 12.706; the standard error is 0.5.
    assert effects.mean_interval([0.0, 1.0], fewest=2) == pytest.approx((0.5 - 6.353, 0.5 + 6.353), abs=1e-3)
    assert np.isnan(effects.mean_interval([0.0, 1.0])).all()


COUNTS = st.lists(st.integers(-6, 6), max_size=10)


@given(COUNTS)
def test_the_sign_flips_of_counts_are_those_of_all_choices_of_signs(counts: list[int]) -> None:
    sums = [sum(size * sign for size, sign in zip(counts, signs, strict=True)) for signs in _signs(len(counts))]
    expected = sum(abs(each) >= abs(sum(counts)) for each in sums) / len(sums)
    assert effects.sign_flip_p_of_counts(counts) == pytest.approx(expected)


def _signs(count: int) -> list[tuple[int, ...]]:
    return list(itertools.product((-1, 1), repeat=count))


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_sign_flips_of_ones_are_the_exact_test_of_mcnemar(losses: int, gains: int) -> None:
    expected = stats.binomtest(gains, gains + losses).pvalue if gains + losses else 1.0
    assert effects.sign_flip_p_of_counts([-1] * losses + [1] * gains) == pytest.approx(expected, rel=1e-9)


def test_the_sign_flips_of_many_counts_are_nearly_those_of_a_normal_sum() -> None:
    """Sums of n signed counts have the variance of the sum of their squares."""
    counts = np.random.default_rng(0).integers(-4, 6, 2000)
    score = abs(counts.sum()) / math.sqrt(np.square(counts).sum())
    assert effects.sign_flip_p_of_counts(counts) == pytest.approx(2 * stats.norm.sf(score), rel=0.05)


@pytest.mark.parametrize("count", [effects.MANY, 400])
def test_many_processes_have_p_and_interval_by_formulas_that_resampling_comes_to(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (list(side) for side in np.random.default_rng(0).lognormal([[0.0], [0.02]], 0.1, (2, count)))
    for compared in (effects.paired, effects.independent):
        with monkeypatch.context() as patch:
            patch.setattr(effects, "MANY", 10**9)
            resampled = compared(a, b)
        with monkeypatch.context() as patch:
            patch.setattr(bootstrap, "process_interval", None)
            patch.setattr(stats, "permutation_test", None)
            by_formula = compared(a, b)
        assert by_formula.p == pytest.approx(resampled.p, abs=0.01)
        assert (by_formula.low, by_formula.high) == pytest.approx((resampled.low, resampled.high), abs=0.003)
        assert by_formula.least_p < resampled.least_p


def test_equal_sides_of_many_processes_are_equal() -> None:
    rates = [100.0 + place for place in range(effects.MANY)]
    assert effects.paired(rates, rates).p == effects.independent(rates, rates).p == 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_delta_is_the_share_of_pairs(a: list[int], b: list[int]) -> None:
    signs = [(y > x) - (y < x) for x in a for y in b]
    assert effects.cliffs_delta(a, b) == pytest.approx(sum(signs) / len(signs))


@given(
    st.lists(st.floats(-9, 9), min_size=1, max_size=12),
    st.lists(st.floats(-9, 9), min_size=1, max_size=12),
)
def test_the_median_difference_of_very_many_is_that_of_all_pairs(a: list[float], b: list[float]) -> None:
    first, second = np.array(a), np.array(b)
    differences = np.sort(np.subtract.outer(second, first).ravel())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(effects, "_MOST_DIFFERENCES", 0)
        found = effects._median_difference(first, second)
    middle = (len(differences) - 1) // 2  # of an even number, any value between the two in the middle is a median
    assert differences[middle] - 1e-12 <= found <= differences[len(differences) // 2] + 1e-12


def test_a_median_of_very_many_differences_holds_no_list_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(0).normal([[0.0], [1.0]], 1, (2, 50_000))
    assert effects._median_difference(a, b) == pytest.approx(1, abs=0.03)  # a list of all would take 20 GB
