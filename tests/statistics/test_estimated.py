"""Intervals that hold two causes of chance: how often they contain the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bcdl.statistics import effects
from bcdl.statistics.estimated import Estimated, of_both

DRAWS = 1000
# Binomial(1000, 0.95) lies below 928 or above 970 once in 500 times each.
FEWEST, MOST = 928, 970


def test_both_intervals_by_hand() -> None:
    joined = of_both(Estimated(1.0, 0.7, 1.4), Estimated(1.0, 0.6, 1.3))
    # Squares of 0.3 and 0.4 below, of 0.4 and 0.3 above.
    assert (joined.value, joined.low, joined.high) == pytest.approx((1.0, 0.5, 1.5))


def test_without_one_of_the_intervals_there_is_none() -> None:
    joined = of_both(Estimated(1.0, 0.7, 1.4), Estimated(1.0, math.nan, math.nan))
    assert np.isnan([joined.low, joined.high]).all()


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_over_seeds_holds_the_truth_as_often_as_it_says(seeds: int) -> None:
    """Seeds' differences around 0, on test images that do not change."""
    drawn = np.random.default_rng(seeds).normal(0, 0.08, (DRAWS, seeds))
    held = sum(low <= 0 <= high for low, high in (effects.mean_interval(each, fewest=2) for each in drawn))
    assert FEWEST <= held <= MOST


def test_an_interval_as_if_seeds_were_sure_would_hold_it_seldom() -> None:
    """What 1.96 standard errors of three seeds would hold, to show that the simulation can fail."""
    drawn = np.random.default_rng(3).normal(0, 0.08, (DRAWS, 3))
    reach = 1.96 * drawn.std(axis=1, ddof=1) / math.sqrt(3)
    assert np.sum(np.abs(drawn.mean(axis=1)) <= reach) < FEWEST


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("of_patients", [0.01, 0.05, 0.2])
def test_the_interval_over_seeds_and_patients_holds_the_truth_at_least_so_often(seeds: int, of_patients: float) -> None:
    """Differences around 0 that all seeds share, of the patients who were tested, and of each seed besides."""
    generator = np.random.default_rng(seeds)
    shared = generator.normal(0, of_patients, DRAWS)
    drawn = shared[:, None] + generator.normal(0, 0.05, (DRAWS, seeds))
    held = 0
    for each in drawn:
        mean = float(np.mean(each))
        over_seeds = Estimated(mean, *effects.mean_interval(each, fewest=2))
        over_patients = Estimated(mean, mean - 1.96 * of_patients, mean + 1.96 * of_patients)
        joined = of_both(over_seeds, over_patients)
        held += joined.low <= 0 <= joined.high
    assert held >= FEWEST
