"""Rankings of sides measured in turn: who is the fastest, who as good as equal, and what can't be told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.statistics import ranking
from bcdl.statistics.ranking import FASTER, FASTEST, SLOWER, TIE, UNDECIDED, rank

RATES = st.lists(st.floats(1.0, 1e4), min_size=3, max_size=12)


def rounds(rates: list[float]) -> dict[str, float]:
    return {str(number): rate for number, rate in enumerate(rates)}


def side(mean: float, spread: float, count: int, seed: int) -> dict[str, float]:
    noise = np.random.default_rng(seed).normal(0, spread, count)
    return rounds([mean * math.exp(each) for each in noise])


def test_a_side_that_is_slower_in_every_round_is_slower() -> None:
    ranked = rank({"a": side(80, 0.01, 10, 0), "b": side(100, 0.01, 10, 1), "c": side(50, 0.01, 10, 2)})
    assert [standing.name for standing in ranked.standings] == ["b", "a", "c"]
    assert [standing.verdict for standing in ranked.standings] == [FASTEST, SLOWER, SLOWER]
    assert ranked.is_decided
    assert ranked.standings[1].ratio == pytest.approx(0.8, rel=0.02)
    assert ranked.first.ratio == 1


def test_every_side_stands_beside_a_baseline_that_is_chosen_whichever_is_the_fastest() -> None:
    sides = {"a": side(80, 0.01, 10, 0), "b": side(100, 0.01, 10, 1), "c": side(80, 0.01, 10, 2)}
    ratios = ranking.against(sides, "a")
    assert {name: ratio.verdict for name, ratio in ratios.items()} == {"b": FASTER, "c": TIE}
    assert ratios["b"].ratio == pytest.approx(1.25, rel=0.02)
    assert ratios["b"].low < ratios["b"].ratio < ratios["b"].high
    # The other way round it is the same comparison, and that of the ranking.
    back = ranking.against(sides, "b")["a"]
    assert (back.low, back.high) == pytest.approx((1 / ratios["b"].high, 1 / ratios["b"].low))
    found = {each.name: each for each in rank(sides).standings}["a"]
    assert (back.ratio, back.low, back.high) == (found.ratio, found.ratio_low, found.ratio_high)
    assert (back.verdict, back.rounds) == (found.verdict, 10)


def test_a_baseline_without_a_common_round_decides_nothing() -> None:
    ratio = ranking.against({"a": {"0": 1.0}, "b": {"1": 2.0}}, "a")["b"]
    assert math.isnan(ratio.ratio)
    assert (ratio.verdict, ratio.rounds) == (UNDECIDED, 0)


def test_what_can_not_be_told_apart_is_undecided_and_what_is_as_good_as_equal_a_tie() -> None:
    noisy = rank({"a": side(100, 0.2, 6, 0), "b": side(101, 0.2, 6, 1)})
    assert [standing.verdict for standing in noisy.standings] == [FASTEST, UNDECIDED]
    close = rank({"a": side(100, 0.004, 20, 0), "b": side(101, 0.004, 20, 1)})
    assert [standing.verdict for standing in close.standings] == [FASTEST, TIE]
    assert not noisy.is_decided
    assert not close.is_decided
    assert close.named(TIE) == ["a"]


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_rounds_decide_nothing(count: int) -> None:
    ranked = rank({"a": side(10, 0.0, count, 0), "b": side(100, 0.0, count, 1)})
    assert ranked.standings[1].verdict == UNDECIDED
    assert math.isnan(ranked.standings[1].ratio_low)


def test_drift_that_meets_both_sides_of_a_round_changes_no_ratio() -> None:
    drift = [1.0, 0.5, 2.0, 0.7, 1.5, 0.9]
    ranked = rank({"a": rounds([100 * each for each in drift]), "b": rounds([90 * each for each in drift])})
    assert ranked.standings[1].ratio == pytest.approx(0.9)
    assert ranked.standings[1].verdict == SLOWER


def test_rounds_that_one_side_lacks_count_for_no_ratio() -> None:
    first = rounds([100.0, 101.0, 99.0, 100.0])
    ranked = rank({"a": first, "b": {**rounds([50.0, 51.0, 49.5]), "9": 1e6}})
    assert ranked.first.name == "a"
    assert ranked.standings[1].ratio == pytest.approx(0.5, rel=0.02)
    assert rank({"a": {"0": 1.0}, "b": {"1": 2.0}}).standings[1].verdict == UNDECIDED


@given(a=RATES, b=RATES, c=RATES)
def test_the_order_in_which_sides_are_given_changes_nothing(a: list[float], b: list[float], c: list[float]) -> None:
    count = min(map(len, (a, b, c)))
    sides = {"a": rounds(a[:count]), "b": rounds(b[:count]), "c": rounds(c[:count])}
    turned = rank(dict(reversed(sides.items())))
    if len({round(standing.rate, 6) for standing in turned.standings}) == 3:
        assert [each.name for each in rank(sides).standings] == [each.name for each in turned.standings]


@given(low=st.floats(0.01, 2), width=st.floats(0, 2))
def test_a_verdict_is_one_of_three_and_a_tie_is_within_three_percent(low: float, width: float) -> None:
    said = ranking.verdict(low, low + width)
    assert said in (TIE, SLOWER, UNDECIDED)
    if said == TIE:
        assert low >= 0.97
        assert low + width <= 1 / 0.97
    if said == SLOWER:
        assert low + width < 1


def test_equal_sides_are_seldom_called_slower() -> None:
    """Of three equal sides any of the three pairs would be a false alarm; the intervals hold for all at once."""
    alarms = 0
    for seed in range(400):
        draws = np.random.default_rng(seed).normal(0, 0.05, (3, 8))
        sides = {name: rounds([100 * math.exp(each) for each in row]) for name, row in zip("abc", draws, strict=True)}
        alarms += any(standing.verdict == SLOWER for standing in rank(sides).standings)
    assert alarms / 400 < 0.06
