"""What experiments say: the newest of each, the noise of equal sides, the best of settings."""

from __future__ import annotations

import dataclasses
import math

import pytest

from bcdl.records.experiment import Experiment
from bcdl.statistics import experiments

EXPERIMENT = Experiment(
    "20261124T142328Z-af84", "Slow-downs", "a cell", ("x", "y"), [1.0, 2.0, 4.0], [1.1, 2.0, 3.6], {}, slowdown=0.0
)


def test_the_newest_run_of_a_subject_counts_and_all_of_its_ways() -> None:
    older = dataclasses.replace(EXPERIMENT, run="20261123T142328Z-af84")
    other = dataclasses.replace(older, subject="another cell")
    slowed = [dataclasses.replace(EXPERIMENT, slowdown=share) for share in (0.1, 0.02)]
    newest = experiments.newest([("m", older), ("m", other), ("m", EXPERIMENT), *(("m", each) for each in slowed)])
    assert newest == {("m", "Slow-downs"): [EXPERIMENT, slowed[1], slowed[0], other]}


def test_ways_without_a_slow_down_keep_the_order_in_which_they_were_recorded() -> None:
    ways = [dataclasses.replace(EXPERIMENT, ways=("x", way), slowdown=None) for way in ("batch 8", "batch 16", "all")]
    ((_, kept),) = experiments.newest([("m", each) for each in ways]).items()
    assert kept == ways


def test_the_noise_of_a_machine_is_the_largest_of_its_equal_sides_whatever_they_are_called() -> None:
    quiet = dataclasses.replace(EXPERIMENT, subject="quiet", b=EXPERIMENT.a)
    slowed = dataclasses.replace(EXPERIMENT, subject="slowed", b=[9.0, 1.0, 5.0], slowdown=0.5)
    few = dataclasses.replace(EXPERIMENT, subject="few", a=[1.0, 1.0], b=[9.0, 1.0])
    unknown = dataclasses.replace(EXPERIMENT, subject="unknown", b=[9.0, 1.0, 5.0], slowdown=None)
    made = [("m", each) for each in (quiet, EXPERIMENT, slowed, few, unknown)]
    noise = experiments.noise_of_equal_sides(made, "m", 4)
    assert noise is not None
    # Log ratios 0.0953, 0 and -0.1054: standard deviation 0.1004, of the mean of 4 rounds half of that.
    assert noise == (pytest.approx(0.0502, abs=1e-4), "a cell")
    assert experiments.noise_of_equal_sides(made, "another", 4) is None


def test_the_best_of_settings_is_the_fastest_of_those_that_surely_beat_the_default() -> None:
    def tried(way: str, *rates: float) -> Experiment:
        return dataclasses.replace(EXPERIMENT, ways=("default", way), a=[1.0, 1.01, 0.99], b=list(rates), searches=True)

    settings = [tried("slow", 0.5, 0.5, 0.5), tried("good", 1.5, 1.51, 1.49), tried("wild", 9.0, 0.5, 4.0)]
    (best,) = experiments.best_settings(settings)
    assert best.best is not None
    assert best.best.experiment.ways[1] == "good"
    assert (best.tried, best.low > 1, best.high < 1.6) == (3, True, True)
    (none,) = experiments.best_settings(settings[:1])
    assert none.best is None
    assert math.isnan(none.low)
    (few,) = experiments.best_settings([dataclasses.replace(settings[1], a=[1.0, 1.0], b=[2.0, 2.0])])
    assert (few.best, few.enough_rounds) == (None, False)
