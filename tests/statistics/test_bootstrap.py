"""Resamples of groups, and intervals whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bcdl.evaluation import scored
from bcdl.statistics import bootstrap
from tests.predictions import scored as made


def drawn(groups: int, images: int = 1) -> np.ndarray:
    return np.concatenate(list(bootstrap.blocks(groups, images)))


def test_a_resample_has_as_many_groups_as_there_are_and_each_is_drawn_alike() -> None:
    weights = drawn(20)
    assert weights.shape == (bootstrap.RESAMPLES, 20)
    assert (weights.sum(axis=1) == 20).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)


def test_resamples_do_not_depend_on_how_they_are_cut_into_blocks() -> None:
    assert len(list(bootstrap.blocks(20, 10_000_000))) == bootstrap.RESAMPLES
    np.testing.assert_array_equal(drawn(20, 10_000_000), drawn(20))


def test_images_of_a_group_are_drawn_together_and_alike_for_all_seeds() -> None:
    first = made([0.1] * 5, [0] * 5, ["a", "a", "b", "c", "c"])
    # Another seed lacks a fold, and with it the group b; the order is another.
    second = made([0.1] * 3, [0] * 3, ["c", "a", "c"])
    (weights, others), *_ = scored.resamples([first, second])
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, [3, 0, 4]], others)


def test_ends_are_percentiles() -> None:
    low, high = bootstrap.interval(0.5, np.linspace(0, 1, 1001), 100)
    assert (low, high) == pytest.approx((0.025, 0.975))


def test_undefined_resamples_are_left_out() -> None:
    assert bootstrap.interval(0.5, np.r_[np.linspace(0, 1, 1001), [np.nan] * 500], 100) == pytest.approx((0.025, 0.975))


@pytest.mark.parametrize(
    ("resampled", "groups"), [([0.1, 0.9], bootstrap.LEAST_GROUPS - 1), ([np.nan] * 3, 100), ([0.5] * 3, 100)]
)
def test_there_is_none_of_few_groups_nothing_defined_or_no_spread(resampled: list[float], groups: int) -> None:
    assert all(map(math.isnan, bootstrap.interval(0.5, np.array(resampled), groups)))


@pytest.mark.parametrize("groups", [5, 127])
def test_a_share_of_all_or_none_has_the_exact_interval(groups: int) -> None:
    exact = stats.binomtest(groups, groups).proportion_ci(0.95, "exact")
    assert bootstrap.interval(1.0, np.ones(9), groups, share=True) == pytest.approx((exact.low, exact.high))
    assert bootstrap.interval(0.0, np.zeros(9), groups, share=True) == pytest.approx((0, 1 - exact.low))


def test_a_figure_that_chance_raises_is_mirrored_and_never_below_zero() -> None:
    # Percentiles 0.2 and 0.4 about a value of 0.25: what resampling adds is taken off.
    resampled = np.repeat([0.2, 0.3, 0.4], 100)
    assert bootstrap.interval(0.25, resampled, 100, inflated=True) == pytest.approx((0.1, 0.3))
    assert bootstrap.interval(0.1, resampled, 100, inflated=True) == (0, 0)
