"""Which rounds of an experiment are warm-up, and when its ratio is not one figure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.statistics import effects
from bcdl.statistics.steadiness import are_rounds_steady, warm_up_rounds

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
        # Scattered by a tenth, like most experiments on a shared machine.
        ([3.48, 3.52, 3.31, 3.76, 4.13, 4.33, 3.39], 0, True),
        # One round in the midst of them that was disturbed: no warm-up, and no other regime.
        ([1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0], 0, True),
        ([1.0, 1.2, 1.24], 0, True),
        ([1.0, 1.2, 1.3], 0, False),
        ([1.0], 0, None),
    ],
)
def test_rounds_by_hand(ratios: list[float], warm_up: int, steady: bool | None) -> None:
    assert warm_up_rounds(ratios) == warm_up
    assert are_rounds_steady(ratios[warm_up:]) is steady


RATIOS = st.lists(st.floats(0.1, 10), min_size=1, max_size=20)


@given(RATIOS)
def test_no_more_than_a_third_is_warm_up(ratios: list[float]) -> None:
    assert 0 <= warm_up_rounds(ratios) <= len(ratios) // 3


@given(RATIOS, st.integers(-3, 3))
def test_a_factor_that_all_rounds_share_does_not_matter(ratios: list[float], power: int) -> None:
    scaled = [ratio * 2.0**power for ratio in ratios]
    assert (warm_up_rounds(scaled), are_rounds_steady(scaled)) == (warm_up_rounds(ratios), are_rounds_steady(ratios))


@given(st.floats(0.1, 10), st.integers(2, 20))
def test_rounds_that_are_all_the_same_are_steady(ratio: float, count: int) -> None:
    assert (warm_up_rounds([ratio] * count), are_rounds_steady([ratio] * count)) == (0, True)


@pytest.mark.parametrize("rounds", [7, 12])
def test_ways_that_are_equal_are_seldom_called_unstable_or_different(rounds: int) -> None:
    """400 experiments on a machine that scatters by a tenth, after their warm-up rounds were left out."""
    generator = np.random.default_rng(0)
    unstable = different = 0
    for ratios in np.exp(generator.normal(0, 0.1, (400, rounds))):
        kept = ratios[warm_up_rounds(list(ratios)) :]
        unstable += are_rounds_steady(list(kept)) is False
        different += float(effects.sign_flip_p(np.log(kept))) < 0.05
    # Binomial(400, 0.05) lies above 33 once in 500 times.
    assert different <= 33
    # Halves of three rounds are apart one time in ten.
    assert unstable <= 0.2 * 400
