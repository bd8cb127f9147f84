"""What experiments say: the newest of each, what their rounds show after the warm-up, the best of settings."""

from __future__ import annotations

import dataclasses
import math

import pytest

from bcdl.records.experiment import Experiment
from bcdl.statistics import experiments
from bcdl.statistics.experiments import Outcome

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


def test_the_noise_is_the_standard_error_of_so_many_rounds() -> None:
    # Log ratios 0.0953, 0 and -0.1054: standard deviation 0.1004, of the mean of 4 rounds half of that.
    assert experiments.noise(EXPERIMENT, 4) == pytest.approx(0.0502, abs=1e-4)


def made(way: str, first: list[float], second: list[float], **changes: object) -> Experiment:
    return dataclasses.replace(EXPERIMENT, ways=("default", way), a=first, b=second, searches=True, **changes)


# Rates as they were measured: the first way's first two rounds were slow.
SLOW_AT_FIRST = [157.6, 148.7, 200.4, 203.9, 203.8, 204.1, 205.7]
BATCH_16 = [210.0, 204.9, 208.0, 212.8, 211.5, 216.3, 214.2]
BATCH_32 = [208.9, 204.3, 198.9, 203.0, 204.0, 197.7, 204.7]


def test_slow_first_rounds_of_a_process_are_no_advantage_of_the_other_way() -> None:
    outcome = Outcome(made("batch 16", SLOW_AT_FIRST, BATCH_16))
    assert outcome.warm_up == 2
    assert len(outcome.a) == len(outcome.b) == 5
    assert outcome.effect.ratio == pytest.approx(1.045, abs=0.001)
    assert outcome.effect.hodges_lehmann == pytest.approx(1.042, abs=0.002)
    assert outcome.effect.medians == (203.9, 212.8)
    # Five rounds give no p under 2 / 2^5: what was left out is no evidence.
    assert outcome.effect.p == pytest.approx(2 / 2**5)
    assert outcome.regimes is None


def test_rounds_of_processes_have_no_warm_up_and_no_regimes() -> None:
    outcome = Outcome(made("batch 16", SLOW_AT_FIRST, BATCH_16, sample="process"))
    assert (outcome.warm_up, len(outcome.a)) == (0, 7)
    assert Outcome(made("x", [1.0] * 7, [1.2] * 3 + [1.9] * 4, sample="process")).regimes is None


def test_two_regimes_are_no_one_ratio() -> None:
    first = [24.02, 27.86, 26.60, 25.12, 26.47, 23.81, 25.72]
    second = [29.86, 31.27, 34.71, 47.12, 48.62, 45.76, 44.19]
    outcome = Outcome(made("batch 1", first, second))
    assert outcome.warm_up == 0
    assert outcome.regimes == pytest.approx((1.243, 1.837), abs=0.001)


def test_a_setting_in_two_regimes_is_named_and_not_the_best() -> None:
    first, steps = [1.0] * 7, [1.2] * 3 + [1.9] * 4
    settings = [made("two regimes", first, steps), made("good", first, [1.1, 1.11, 1.09, 1.1, 1.11, 1.1, 1.09])]
    (best,) = experiments.best_settings(settings)
    assert best.best is not None
    assert best.best.experiment.ways[1] == "good"
    assert (best.tried, best.unstable) == (2, ("two regimes",))


def test_the_best_is_picked_from_the_rounds_after_the_warm_up() -> None:
    (best,) = experiments.best_settings([made("batch 32", SLOW_AT_FIRST, BATCH_32)])
    assert best.best is None


def test_p_values_are_corrected_over_the_ways_of_a_subject() -> None:
    rates = [1.0, 1.1, 1.2, 0.9, 1.0, 1.1]
    ways = [Outcome(made(way, rates, [rate * factor for rate in rates])) for way, factor in (("x", 2.0), ("y", 3.0))]
    other = Outcome(made("z", rates, [rate * 2 for rate in rates], subject="another"))
    p = 2 / 2**6
    assert experiments.corrected([ways[0], other, ways[1]]) == pytest.approx([2 * p, p, 2 * p])


def test_the_best_of_settings_is_the_fastest_of_those_that_surely_beat_the_default() -> None:
    def tried(way: str, *rates: float) -> Experiment:
        return made(way, [1.0, 1.01, 0.99], list(rates))

    settings = [tried("slow", 0.5, 0.5, 0.5), tried("good", 1.5, 1.51, 1.49), tried("wild", 9.0, 0.5, 4.0)]
    (best,) = experiments.best_settings(settings)
    assert best.best is not None
    assert best.best.experiment.ways[1] == "good"
    assert (best.tried, best.unstable, best.low > 1, best.high < 1.6) == (3, ("wild",), True, True)
    (none,) = experiments.best_settings(settings[:1])
    assert none.best is None
    assert math.isnan(none.low)
    (few,) = experiments.best_settings([dataclasses.replace(settings[1], a=[1.0, 1.0], b=[2.0, 2.0])])
    assert (few.best, few.enough_rounds) == (None, False)
