"""Which rounds of an experiment are warm-up, and when its ratio is not one figure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.statistics import effects
from bcdl.statistics.steadiness import settled

# Ratios by round, as measured: the first way's first two rounds were slow, or the second way has two regimes.
SLOW_START = [1.332, 1.378, 1.038, 1.044, 1.038, 1.060, 1.042]
LATER_IN_IT = [1.150, 1.486, 1.102, 1.075, 1.075, 1.061, 1.078]
TWO_REGIMES = [1.243, 1.122, 1.305, 1.876, 1.837, 1.922, 1.718]
IN_TURN = [0.39, 1.22, 1.14, 1.06, 0.38, 1.19, 1.05, 1.31, 0.39, 0.33, 1.26, 1.41]


@pytest.mark.parametrize(
    ("ratios", "warm_up", "steady"),
    [
        (SLOW_START, 2, True),
        (LATER_IN_IT, 2, True),
        (TWO_REGIMES, 0, False),
        (IN_TURN, 0, False),
        # Slower and slower, by a fifth in all: no round is far off, and the halves are apart.
        ([1.00, 0.99, 0.92, 0.87, 0.83, 0.81, 0.83], 0, False),
        # What is left after a slow start is no one figure: then it is none, and all rounds are judged together.
        ([1.17, 1.00, 1.10, 1.05, 1.35, 1.34, 1.41], 0, False),
        ([1.10, 1.13, 1.18, 1.09, 1.71, 1.15, 1.42], 0, True),
        # Scattered by a tenth, like most experiments on a shared machine.
        ([3.48, 3.52, 3.31, 3.76, 4.13, 4.33, 3.39], 0, True),
        # One round in the midst of them that was disturbed: no warm-up, and no other regime.
        ([1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0], 0, True),
        ([1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0], 0, True),
        ([0.5, 1.0, 1.0, 1.0, 1.0, 0.5, *[1.0] * 10], 1, True),
        ([1.0, 1.2, 1.24], 0, True),
        ([1.0, 1.2, 1.3], 0, False),
        ([1.0], 0, True),
    ],
)
def test_rounds_by_hand(ratios: list[float], warm_up: int, steady: bool) -> None:
    assert settled(ratios) == (warm_up, steady)


RATIOS = st.lists(st.floats(0.1, 10), min_size=1, max_size=20)


@given(RATIOS)
def test_no_more_than_a_third_is_warm_up_and_none_of_what_is_not_steady(ratios: list[float]) -> None:
    warm_up, steady = settled(ratios)
    assert 0 <= warm_up <= len(ratios) // 3
    assert steady or not warm_up


@given(RATIOS, st.integers(-3, 3))
def test_a_factor_that_all_rounds_share_does_not_matter(ratios: list[float], power: int) -> None:
    assert settled([ratio * 2.0**power for ratio in ratios]) == settled(ratios)


@given(st.floats(0.1, 10), st.integers(1, 20))
def test_rounds_that_are_all_the_same_are_steady(ratio: float, count: int) -> None:
    assert settled([ratio] * count) == (0, True)


@pytest.mark.parametrize("rounds", [7, 12])
def test_ways_that_are_equal_are_seldom_called_unstable_or_different(rounds: int) -> None:
    """400 experiments on a machine that scatters by a tenth, after their warm-up rounds were left out."""
    generator = np.random.default_rng(0)
    unstable = different = 0
    for ratios in np.exp(generator.normal(0, 0.1, (400, rounds))):
        warm_up, steady = settled(list(ratios))
        unstable += not steady
        different += float(effects.sign_flip_p(np.log(ratios[warm_up:]))) < 0.05
    # Binomial(400, 0.05) lies above 33 once in 500 times.
    assert different <= 33
    # Halves of three rounds are apart one time in ten.
    assert unstable <= 0.15 * 400
