"""The power of a comparison, computed from rounds whose truth is known."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.experiments.workers.slowed import Slowed
from bcdl.records import experiment
from bcdl.records.experiment import EQUAL_SIDES, Experiment
from bcdl.statistics import effects, power_analysis

ROUNDS = 40


def rounds(noise: float, shares: dict[str, float], seed: int = 0) -> list[Experiment]:
    """Experiments of one subject, whose rates scatter log-normally."""
    generator = np.random.default_rng(seed)

    def rates(share: float) -> list[float]:
        return list(100 / (1 + share) * generator.lognormal(0, noise, ROUNDS))

    plain = rates(0)
    return [
        Experiment("r", power_analysis.NAME, "a cell", (EQUAL_SIDES[0], way), plain, rates(share), {})
        for way, share in shares.items()
    ]


SHARES = {EQUAL_SIDES[1]: 0.0, **{power_analysis.slower_by(share): share for share in (0.02, 0.1, 0.5)}}


def test_a_quiet_machine_finds_what_lies_above_the_threshold_and_nothing_below() -> None:
    found = power_analysis.power(rounds(0.002, SHARES))
    # 2 percent lies under the least regression, 3 percent.
    assert {share: one.value for share, one in found.items()} == {0.0: 0.0, 0.02: 0.0, 0.1: 1.0, 0.5: 1.0}
    assert all(one.low <= one.value <= one.high for one in found.values())


def test_a_noisy_machine_finds_only_what_is_large() -> None:
    found = {share: one.value for share, one in power_analysis.power(rounds(0.2, SHARES)).items()}
    assert found[0.0] < 0.05
    assert found[0.1] < 0.2
    assert found[0.5] > 0.5


def test_few_rounds_say_less_of_the_power_than_many() -> None:
    """A slow-down near the threshold, of which the rounds happen to have more or less."""
    many = rounds(0.05, {EQUAL_SIDES[1]: 0.0, power_analysis.slower_by(0.1): 0.1})
    few = [dataclasses.replace(one, a=one.a[:10], b=one.b[:10]) for one in many]
    widths = [found[0.1].high - found[0.1].low for found in map(power_analysis.power, (many, few))]
    assert 0 < widths[0] < widths[1]


def test_noise_is_the_ratios_standard_error() -> None:
    """Both sides scatter by 0.1: log ratios by 0.1 * sqrt(2), and the mean of 10 by that over sqrt(10) = 0.0447."""
    (equal,) = rounds(0.1, {EQUAL_SIDES[1]: 0.0})
    assert equal.noise(10) == pytest.approx(0.1 * math.sqrt(2) / math.sqrt(10), rel=0.25)


@given(st.lists(st.integers(-1000, 1000).filter(bool), min_size=2, max_size=10))
def test_the_quick_p_value_is_that_of_the_full_permutation_test(thousandths: list[int]) -> None:
    """Of logs that no rounding ties: a difference in the last place is a tie to the one and none to the other."""
    one = np.array(thousandths) / 1000
    whole = effects.paired(list(np.ones(len(one))), list(np.exp(one)))
    assert effects.sign_flip_p(np.log(np.exp(one))) == pytest.approx(whole.p, abs=1e-9)


def test_compare_knows_the_noise_of_its_machine(tmp_path: Path) -> None:
    for one in rounds(0.1, {EQUAL_SIDES[1]: 0.0}):
        experiment.append(tmp_path, "a-machine", one)
    found = experiment.noise_of_equal_sides(tmp_path, "a-machine", 10)
    assert found is not None
    assert found[1] == "a cell"
    assert experiment.noise_of_equal_sides(tmp_path, "another", 10) is None


def test_the_table_names_the_smallest_slow_down_that_is_found() -> None:
    experiments = rounds(0.002, SHARES)
    table = power_analysis.table({"a cell": power_analysis.power(experiments)}, {"a cell": experiments})
    (row,) = table.rows
    none, all_of_them = "0% (0% to 0%)", "100% (100% to 100%)"
    assert row == ("a cell", "40", row[2], "3.0%", none, none, all_of_them, all_of_them, "10%")


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
