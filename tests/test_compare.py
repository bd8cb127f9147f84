"""From two sides' rates to ratios, p-values and an exit code; the statistics on rates whose truth is known."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl import compare
from bcdl.errors import UsageError
from bcdl.records import comparability, store
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.record import Record
from bcdl.statistics import comparison, effects
from tests.factory import record

RATES = [100.0, 101.0, 99.5, 100.5, 99.0, 100.2, 101.5, 98.8, 100.9, 99.7]


def write(results: Path, name: str, rates: list[float], in_turn: bool = True, **changes: object) -> Path:
    """A record file of one side: a process a rate, the same in all regimes."""
    side = name[-1] if in_turn else ""
    for number, rate in enumerate(rates):
        one = record(run=name, **changes)
        metrics = {**one.metrics, **{f"{regime}_images_per_s": rate for regime in comparison.RATES}}
        block = f"r/{number}" if in_turn else ""
        store.append(results, "m", dataclasses.replace(one, metrics=metrics, block=block, side=side))
    return results / "records" / "m" / f"{name}.jsonl"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bcdl.compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_slow_down_fails_and_is_named(tmp_path: Path) -> None:
    done = run(write(tmp_path, "a", RATES), write(tmp_path, "b", [rate * 0.9 for rate in RATES]))
    assert done.returncode == 1, done.stderr
    assert "slower by more than 3.0%, beyond chance: CNN, synthetic-48, 32x32, batch 4, step: 0.900 of A" in done.stdout


@pytest.mark.parametrize("factor", [1.1, 1.0, 0.98])
def test_what_is_faster_the_same_or_hardly_slower_passes(tmp_path: Path, factor: float) -> None:
    done = run(write(tmp_path, "a", RATES), write(tmp_path, "b", [rate * factor for rate in RATES]))
    assert done.returncode == 0, done.stdout
    assert "no regression of more than 3.0%" in done.stdout


def test_sides_measured_apart_fail_only_when_allowed(tmp_path: Path) -> None:
    a = write(tmp_path, "a", RATES, in_turn=False)
    b = write(tmp_path, "b", [rate * 0.8 for rate in RATES], in_turn=False)
    apart = run(a, b)
    assert apart.returncode == 0
    assert "3 of 3 were not measured in turn" in apart.stdout
    assert run(a, b, "--allow-separate").returncode == 1


def test_noise_of_equal_sides_raises_the_bar(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", RATES), write(tmp_path, "b", [rate * 0.9 for rate in RATES])
    generator = np.random.default_rng(0)
    noisy = [write(tmp_path, name, list(100 * generator.lognormal(0, 0.2, 10))) for name in ("n1", "n2")]
    done = run(a, b, "--noise", *noisy)
    assert done.returncode == 0
    assert "noise of equal sides in 10 rounds: " in done.stdout


def test_seeds_are_draws_of_one_cell(tmp_path: Path) -> None:
    for seed in (0, 1):
        a, b = write(tmp_path, "a", RATES, seed=seed), write(tmp_path, "b", RATES, seed=seed)
    assert [one.regime for one in comparison.compare(compare.read(a), compare.read(b))] == list(comparison.RATES)


def test_what_too_few_rounds_could_never_find_is_no_all_clear(tmp_path: Path) -> None:
    """Of three comparisons, five rounds give no p under 3 * 2 / 2^5."""
    a, b = write(tmp_path, "a", RATES[:5]), write(tmp_path, "b", [rate * 0.5 for rate in RATES[:5]])
    done = run(a, b)
    assert done.returncode == 2
    assert "of 3 comparisons, with so few processes a side, no p can be under 0.19" in done.stderr
    assert "7 rounds in turn" in done.stderr
    assert comparison.rounds_needed(3) == 7


@given(st.integers(1, 1000))
def test_the_rounds_needed_are_the_fewest(comparisons: int) -> None:
    rounds = comparison.rounds_needed(comparisons)
    assert comparisons * 2 / 2**rounds < comparison.SIGNIFICANT <= comparisons * 2 / 2 ** (rounds - 1)


def test_backends_bring_their_versions(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", RATES, backend="jax"), write(tmp_path, "b", RATES, backend="torch")
    (one, *_) = comparison.compare(compare.read(a), compare.read(b))
    assert one.effect.ratio == pytest.approx(1)
    with pytest.raises(UsageError, match="share no cell: backend is jax in A and torch in B"):
        comparison.compare(compare.read(a), compare.read(b), across="versions")


def test_two_axes_at_once_are_refused(tmp_path: Path) -> None:
    a = write(tmp_path, "a", RATES, backend="jax")
    b = write(tmp_path, "b", RATES, backend="torch", precision="mixed_bfloat16")
    with pytest.raises(UsageError, match="differ in backend and precision"):
        comparison.compare(compare.read(a), compare.read(b))


@pytest.mark.parametrize("text", ["", "{}", "no json"])
def test_what_holds_no_records_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    done = run(file, file)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_json_of_pytest_benchmark_is_read_like_records(tmp_path: Path) -> None:
    file = write(tmp_path, "a", RATES[:3])
    benchmarks = []
    for line in file.read_text().splitlines():
        one = Record.from_json(line)
        facts = comparability.values(Evidence.of(one), Purpose.RATES)
        info = {"cell": one.cell.id, "regime": "fit", "images_per_s": one.value("fit_images_per_s"), "block": one.block}
        benchmarks.append({"extra_info": {**info, "facts": facts}})
    other = tmp_path / "a.json"
    other.write_text(json.dumps({"benchmarks": benchmarks}))
    assert compare.read(other) == [sample for sample in compare.read(file) if sample.regime == "fit"]


def test_ten_rounds_that_agree_give_the_least_p_there_is() -> None:
    effect = effects.paired(RATES, [rate * 0.9 for rate in RATES])
    assert effect.p == pytest.approx(2 / 2**10)
    assert effect.ratio == pytest.approx(0.9)
    assert (effect.low, effect.high) == pytest.approx((0.9, 0.9))
    assert effect.delta == -1


def test_seven_processes_apart_give_p_under_a_five_hundredth() -> None:
    effect = effects.independent(RATES[:7], [rate * 0.9 for rate in RATES[:7]])
    assert effect.p == pytest.approx(2 / 3432)


def test_drift_shared_by_a_round_does_not_hide_an_effect() -> None:
    drift = np.linspace(1, 3, 10)
    a, b = list(100 * drift), list(95 * drift)
    assert effects.paired(a, b).p < 0.01
    assert effects.independent(a, b).p > 0.5


def test_equal_sides_raise_few_false_alarms() -> None:
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        a, b = generator.lognormal(0, 0.1, (2, 8))
        alarms += effects.paired(list(a), list(b)).p < 0.05
    # Binomial(200, 0.05) lies above 20 once in 500 times.
    assert alarms <= 20


def test_intervals_of_few_processes_hold_the_truth_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage of 95 percent intervals in 400 draws, of the fewest there may be and of seven; and of plain ones."""
    held = {count: _held(count) for count in (6, 7)}
    monkeypatch.setattr(effects, "_tail", lambda count: 0.025)
    # Binomial(400, 0.95) lies below 366 once in 500 times.
    assert min(min(one.values()) for one in held.values()) >= 366, held
    assert max(_held(7).values()) < 366


def _held(count: int) -> dict[str, int]:
    """How many intervals of 400 draws of so many processes, both sides equal, hold a ratio of 1."""
    generator = np.random.default_rng(0)
    held = {"in turn": 0, "apart": 0}
    for _ in range(400):
        a, b = (list(side) for side in generator.lognormal(0, 0.1, (2, count)))
        for name, effect in {"in turn": effects.paired(a, b), "apart": effects.independent(a, b)}.items():
            held[name] += effect.low <= 1 <= effect.high
    return held


def test_fewer_than_six_processes_have_no_interval() -> None:
    effect = effects.paired(RATES[:5], RATES[5:])
    assert np.isnan([effect.low, effect.high]).all()
    assert effect.interval == ""


def test_the_luckiest_of_many_equal_settings_is_seldom_called_better() -> None:
    """Of ten settings that change nothing, seven rounds each, the best in 400 draws: as if alone, and as picked."""
    generator = np.random.default_rng(0)
    better = {1: 0, 10: 0}
    for _ in range(400):
        default, *others = generator.lognormal(0, 0.1, (11, 7))
        best = max(others, key=lambda rates: np.log(rates).mean())
        for tried in better:
            better[tried] += effects.interval_of_best(list(default), list(best), tried)[0] > 1
    # Each tail is 0.025: Binomial(400, 0.025) lies above 20 once in 500 times.
    assert better[10] <= 20 < better[1], better


def test_the_interval_of_the_best_widens_with_the_number_tried() -> None:
    widths = [np.subtract(*effects.interval_of_best(RATES, RATES[::-1], tried)[::-1]) for tried in (1, 5, 20)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=8))
def test_a_side_against_itself_has_no_effect(rates: list[float]) -> None:
    effect = effects.paired(rates, rates)
    assert effect.ratio == pytest.approx(1)
    assert effect.p == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_never_lowers_a_p(p_values: list[float]) -> None:
    corrected = effects.holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert list(np.array(corrected)[order]) == sorted(corrected)
    assert min(corrected) == pytest.approx(min(1, min(p_values) * len(p_values)))


def test_holms_own_steps() -> None:
    assert effects.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
