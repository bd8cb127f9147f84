"""The power of a comparison, computed from rounds whose truth is known."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.experiments.workers.slowed import Slowed
from bcdl.records.experiment import Experiment
from bcdl.report.sections.experiment_tables import power_table
from bcdl.statistics import bootstrap, effects, experiments, power_analysis
from bcdl.statistics.comparison import Comparison, Sample
from tests.factory import cell

ROUNDS = 40


def rounds(noise: float, shares: Sequence[float], seed: int = 0) -> list[Experiment]:
    """Experiments of one subject, slowed down by each of the shares, whose rates scatter log-normally."""
    generator = np.random.default_rng(seed)

    def rates(share: float) -> list[float]:
        return list(100 / (1 + share) * generator.lognormal(0, noise, ROUNDS))

    plain = rates(0)
    return [
        Experiment("r", "An experiment", "a cell", ("one", "two"), plain, rates(share), {}, slowdown=share)
        for share in shares
    ]


SHARES = (0.0, 0.02, 0.1, 0.5)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that do not look at intervals."""
    monkeypatch.setattr(power_analysis, "_RESAMPLES", 2)


def test_a_quiet_machine_finds_what_lies_above_the_threshold_and_nothing_below() -> None:
    powers, _ = power_analysis.power(rounds(0.002, SHARES))
    # 2 percent lies under the least regression, 3 percent.
    assert {share: each.value for share, each in powers.items()} == {0.0: 0.0, 0.02: 0.0, 0.1: 1.0, 0.5: 1.0}
    assert all(each.low <= each.value <= each.high for each in powers.values())


@pytest.mark.usefixtures("few_resamples")
def test_a_noisy_machine_finds_only_what_is_large() -> None:
    powers = {share: each.value for share, each in power_analysis.power(rounds(0.2, SHARES))[0].items()}
    assert powers[0.0] < 0.05
    assert powers[0.1] < 0.2
    assert powers[0.5] > 0.5


def test_few_rounds_say_less_of_the_power_than_many() -> None:
    """A slow-down near the threshold, of which the rounds happen to have more or less."""
    many = rounds(0.05, (0.0, 0.1))
    few = [dataclasses.replace(each, a=each.a[:10], b=each.b[:10]) for each in many]
    widths = [powers[0.1].high - powers[0.1].low for powers, _ in map(power_analysis.power, (many, few))]
    assert 0 < widths[0] < widths[1]


def test_noise_is_the_ratios_standard_error() -> None:
    """Both sides scatter by 0.1: log ratios by 0.1 * sqrt(2), and the mean of 10 by that over sqrt(10) = 0.0447."""
    (equal,) = rounds(0.1, (0.0,))
    assert experiments.noise(equal, 10) == pytest.approx(0.1 * math.sqrt(2) / math.sqrt(10), rel=0.25)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 10))
def test_the_quick_p_value_is_that_of_the_full_permutation_test(seed: int, count: int) -> None:
    """Of logs without ties: rounding may break a tie in one of the two and keep it in the other."""
    logs = np.log(np.exp(np.random.default_rng(seed).normal(size=count)))
    whole = effects.paired(list(np.ones(count)), list(np.exp(logs)))
    assert effects.sign_flip_p(logs) == pytest.approx(whole.p, abs=1e-9)


@pytest.mark.usefixtures("few_resamples")
def test_an_analysis_names_the_smallest_slow_down_that_is_found() -> None:
    alone, several = power_analysis.analyse(rounds(0.002, SHARES))
    assert (alone.subject, alone.rounds, alone.threshold, alone.comparisons) == ("a cell", ROUNDS, 0.03, 1)
    assert (several.subject, several.comparisons) == ("a cell", 6)
    assert alone.smallest_detected == several.smallest_detected == 0.1
    noisy, _ = power_analysis.analyse(rounds(2.0, SHARES))
    assert noisy.smallest_detected is None


@pytest.mark.usefixtures("few_resamples")
def test_the_more_are_compared_the_less_is_found() -> None:
    made = rounds(0.05, SHARES)
    alone, several = power_analysis.power(made)
    assert all(several[share].value <= alone[share].value for share in SHARES)
    assert several[0.1].value < alone[0.1].value


def test_a_comparison_is_judged_here_as_the_command_judges_it() -> None:
    """By its own noise and a corrected p: the same rounds as comparisons of their own."""
    (slowed,) = rounds(0.05, (0.1,))
    logs = np.log(slowed.b) - np.log(slowed.a)
    drawn = bootstrap.draw(logs, np.random.default_rng(0), (40, 10))
    regressed = 0
    for ratios in np.exp(drawn):
        effect = effects.paired([1.0] * 10, list(ratios))
        sample = Sample(cell(), "step", 1.0, "", {})
        compared = Comparison("a cell", "step", effect, True, effects.holm([effect.p] * 6)[0], (sample, sample))
        regressed += compared.regressed
    _, share = power_analysis._judged(logs, 40, np.random.default_rng(0))
    assert 0 < share < 1
    assert share == pytest.approx(regressed / 40)


@pytest.mark.usefixtures("few_resamples")
def test_a_subject_is_judged_by_its_own_noise_whatever_others_have() -> None:
    other = [dataclasses.replace(each, subject="noisy") for each in rounds(0.5, SHARES)]
    quiet = rounds(0.002, SHARES)
    assert power_analysis.analyse([*other, *quiet])[2:] == power_analysis.analyse(quiet)


@pytest.mark.usefixtures("few_resamples")
def test_only_subjects_with_equal_sides_and_rounds_enough_are_analysed() -> None:
    few = [dataclasses.replace(each, a=each.a[:9], b=each.b[:9], subject="few") for each in rounds(0.1, SHARES)]
    unequal = [dataclasses.replace(each, subject="unequal") for each in rounds(0.1, SHARES[1:])]
    other = [dataclasses.replace(each, subject="other", slowdown=None) for each in rounds(0.1, SHARES)]
    made = [*few, *unequal, *other, *rounds(0.1, SHARES)]
    assert [analysis.subject for analysis in power_analysis.analyse(made)] == ["a cell"] * 2


@pytest.mark.usefixtures("few_resamples")
def test_the_table_shows_power_with_its_interval_by_slow_down() -> None:
    analyses = power_analysis.analyse(rounds(0.002, SHARES))
    alone, several = power_table(analyses).shown()
    none, all_of_them = "0% (0% to 0%)", "100% (100% to 100%)"
    assert alone == ("a cell", "40", "0.1%", "3.0%", "1", none, none, all_of_them, all_of_them, "10%")
    assert several == ("a cell", "40", "0.1%", "3.0%", "6", none, none, all_of_them, all_of_them, "10%")


class _Clock:
    """A clock that a step moves by one second, and each look at it by a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-3
        return self.now


def test_a_step_is_slowed_down_by_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr("time.perf_counter", clock)

    class Adapter:
        def training(self, *arrays: object) -> contextlib.AbstractContextManager[Callable[[], str]]:
            def step() -> str:
                clock.now += 1.0
                return "logs"

            return contextlib.nullcontext(step)

        def sync(self, value: object) -> None:
            assert value == "logs"

    with Slowed(Adapter(), 0.5).training(None, None, None) as step:
        assert step() == "logs"
    assert clock.now == pytest.approx(1.5, abs=0.01)
