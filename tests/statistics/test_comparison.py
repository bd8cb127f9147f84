"""Which samples are compared with which, and what may set two sides apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.statistics import comparison
from bcdl.statistics.comparison import Sample
from tests.factory import record

RATES = [100.0, 101.0, 99.5, 100.5, 99.0, 100.2, 101.5, 98.8, 100.9, 99.7]


def side(rates: Sequence[float], environment: dict[str, Any] | None = None, **changes: object) -> list[Sample]:
    """The samples of a side of a run in turn: a process a rate, the same in all regimes."""
    samples = []
    for number, rate in enumerate(rates):
        made = record(**changes)
        metrics = {**made.metrics, **{f"{regime}_images_per_s": rate for regime in comparison.RATES}}
        where = {**made.environment, **(environment or {})}
        samples += comparison.samples(
            dataclasses.replace(made, metrics=metrics, block=f"r/{number}", environment=where)
        )
    return samples


def test_seeds_are_draws_of_one_cell() -> None:
    a, b = ([*side(RATES, seed=0), *side(RATES, seed=1)] for _ in range(2))
    assert [compared.regime for compared in comparison.compare(a, b)] == list(comparison.RATES)


@given(st.integers(1, 1000))
def test_the_rounds_needed_are_the_fewest(comparisons: int) -> None:
    rounds = comparison.rounds_needed(comparisons)
    assert comparisons * 2 / 2**rounds < comparison.SIGNIFICANT <= comparisons * 2 / 2 ** (rounds - 1)


def test_backends_bring_their_versions() -> None:
    a = side(RATES, {"versions": {"jax": "1"}, "code": "1"}, backend="jax")
    b = side(RATES, {"versions": {"torch": "2"}, "code": "2"}, backend="torch")
    (compared, *_) = comparison.compare(a, b)
    assert compared.effect.ratio == pytest.approx(1)
    assert [sample.cell.backend for sample in compared.samples] == ["jax", "torch"]
    with pytest.raises(UsageError, match="share no cell: backend is jax in A and torch in B"):
        comparison.compare(a, b, across="versions")


def test_a_python_may_need_other_versions() -> None:
    a, b = (side(RATES, {"python": name, "versions": {"numpy": name}}) for name in ("3.11.7", "3.12.1"))
    assert comparison.compare(a, b)
    with pytest.raises(UsageError, match=r"share no cell: python is 3\.11\.7 in A and 3\.12\.1 in B"):
        comparison.compare(a, b, across="versions")


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ({"backend": "jax"}, {"backend": "torch", "precision": "mixed_bfloat16"}, "backend and precision"),
        ({"backend": "jax"}, {"backend": "torch", "environment": {"python": "3.12.1"}}, "python and backend"),
        ({"backend": "jax"}, {"backend": "torch", "environment": {"dirty": True}}, "backend and commit"),
        ({}, {"environment": {"commit": "1" * 40, "versions": {"numpy": "3"}}}, "versions and commit"),
        ({}, {"environment": {"code": "1" * 16, "versions": {"numpy": "3"}}}, "versions and code"),
    ],
)
def test_two_axes_at_once_are_refused(a: dict[str, Any], b: dict[str, Any], differ: str) -> None:
    with pytest.raises(UsageError, match=f"A and B differ in {differ}: measure them with only one of these changed"):
        comparison.compare(side(RATES, **a), side(RATES, **b))


@pytest.mark.parametrize("environment", [{"code": "1" * 16}, {"dirty": True}, {"commit": "1" * 40, "code": "1" * 16}])
def test_other_code_is_another_commit(environment: dict[str, Any]) -> None:
    a, b = side(RATES, {"code": "0" * 16}), side(RATES, {"code": "0" * 16, **environment})
    assert comparison.compare(a, b) == comparison.compare(a, b, across="commit")


def test_a_regression_is_judged_by_the_p_corrected_over_all_cells() -> None:
    slower = [rate * 0.9 for rate in RATES]
    a, b = ([*side(rates, image_size=32), *side(rates, image_size=48)] for rates in (RATES, slower))
    compared = comparison.compare(a, b)[0]
    assert compared.regressed
    by_chance = dataclasses.replace(compared, p=comparison.SIGNIFICANT)
    assert by_chance.effect.p < comparison.SIGNIFICANT
    assert not by_chance.regressed


def test_a_cell_is_judged_by_the_standard_error_of_its_own_ratio() -> None:
    """Log ratios that are 0.1 off their mean, to either side: of ten, a standard error of 0.1 / 3."""
    factors = [math.exp(-0.2 + (0.1 if place % 2 else -0.1)) for place in range(10)]
    slower = side([rate * factor for rate, factor in zip(RATES, factors, strict=True)])
    (compared, *_) = comparison.compare(side(RATES), slower)
    assert compared.noise == pytest.approx(0.1 / 3)
    assert compared.threshold == pytest.approx(0.1)
    quiet, *_ = comparison.compare(side(RATES), side([rate * 0.9 for rate in RATES]))
    assert quiet.threshold == comparison.LEAST_REGRESSION


def test_equal_sides_raise_the_noise_of_their_own_cell_and_never_lower_it() -> None:
    a, b = ([*side(RATES), *side(RATES, image_size=64)] for _ in "ab")
    noisy = [rate * math.exp(0.3 * (-1) ** place) for place, rate in enumerate(RATES)]
    # Other versions of another day are the same cell; of four rounds, the noise of ten is less by sqrt(4 / 10).
    equal = comparison.compare(*(side(rates[:4], {"versions": {"numpy": "3"}}) for rates in (RATES, noisy)))
    raised = comparison.with_equal_sides(comparison.compare(a, b), equal)
    expected = 0.3 * math.sqrt(4 / 3) / math.sqrt(10)
    sizes = {compared.samples[0].cell.image_size: compared.noise for compared in raised}
    assert sizes == {32: pytest.approx(expected), 64: pytest.approx(0)}
    lowered = comparison.with_equal_sides(comparison.compare(side(RATES), side(noisy)), comparison.compare(a, b))
    assert [compared.noise for compared in lowered] == [pytest.approx(0.3 * math.sqrt(10 / 9) / math.sqrt(10))] * 3


def test_of_two_backends_the_equal_sides_of_either_count() -> None:
    torch = side(RATES, backend="torch")
    noisy = [rate * math.exp(0.3 * (-1) ** place) for place, rate in enumerate(RATES)]
    equal = comparison.compare(torch, side(noisy, backend="torch"))
    raised = comparison.with_equal_sides(comparison.compare(side(RATES, backend="jax"), torch), equal)
    assert all(compared.noise == compared.equal_sides > 0.09 for compared in raised)
    other = comparison.compare(side(RATES, backend="jax"), side(RATES, backend="tensorflow"))
    assert [compared.noise for compared in comparison.with_equal_sides(other, equal)] == [0, 0, 0]


@pytest.mark.parametrize(("ratio", "judged"), [(0.9090, True), (0.9092, False), (0.9, True), (1.2, False)])
def test_slower_by_a_tenth_is_ten_elevenths_of_the_rate(ratio: float, judged: bool) -> None:
    """A slow-down is a share of the time: 10 percent more time is 1 / 1.1 of the rate, not 0.9 of it."""
    assert bool(comparison.is_regression(ratio, 0.01, 0.1)) is judged


def test_samples_whose_facts_agree_share_them_and_are_told_apart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    key = comparison._key
    monkeypatch.setattr(comparison, "_key", lambda facts, free: (asked.append(facts), key(facts, free))[1])
    a, b = ([*side(RATES, seed=0), *side(RATES, seed=1)] for _ in range(2))
    assert len({id(sample.facts) for sample in (*a, *b)}) == 1
    comparison.compare(a, b)
    assert len(asked) == 2  # once a side
