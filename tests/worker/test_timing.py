"""The clock: that it is the only one, what lies inside a window, and what is waited for at its edges."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bcdl.machine import clock, hardware
from bcdl.statistics import steadiness
from bcdl.worker import timing
from tests import sources

# Clocks that measure, by their names in the module `time`, and one that wraps them.
CLOCKS = {
    f"{clock}{unit}"
    for clock in ("perf_counter", "process_time", "thread_time", "monotonic", "clock_gettime")
    for unit in ("", "_ns")
} | {"default_timer"}
# Timeouts and progress are no measurements: a driver may wait by these, and a command may show how long ago
# it was, or tell by it which files nobody writes any more.
WAITING = {
    (f"bcdl/{name}.py", "monotonic")
    for name in ("runner/budget", "runner/cluster/follow", "runner/progress", "runner/supervisor", "sprint")
} | {("benchmarks/two_nodes.py", "monotonic")}
SHOWING = {"bcdl/runner/progress.py", "bcdl/datasets/cache.py", "bcdl/datasets/decode.py"}
# One clock measures; the others of its module show what may have disturbed what it measured.
CLOCK = "bcdl/machine/clock.py"
OTHERS = {(CLOCK, name) for name in ("process_time", "clock_gettime")}


def test_timing_is_the_only_clock() -> None:
    assert sources.clock_readings(CLOCKS) - WAITING - OTHERS == {(CLOCK, "perf_counter")}
    assert sources.time_of_day() <= SHOWING | {CLOCK}


class Device:
    """Notes every call, and moves the clock on when it is synchronised: by each of `seconds`, then by the last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
        self.calls: list[str] = []
        self.now = 0.0
        self._seconds = iter([*seconds, *itertools.repeat(seconds[-1], 1000)])
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def step(self) -> str:
        self.calls.append("step")
        return "result"

    def sync(self, value: Any) -> None:
        assert value == "result"
        self.calls.append("sync")
        self.now += next(self._seconds)


def _calls(device: Device) -> tuple[Any, Any]:
    return device.step, device.sync


def test_a_window_is_its_steps_and_one_synchronisation(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, [2.0])
    assert timing.windows(2, 3, device.step, device.sync) == timing.Timed(warm_up=[2.0], kept=[2.0, 2.0])
    assert device.calls == ["step", "step", "step", "sync"] * 3


def test_warm_up_ends_when_the_samples_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, [9.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    timed = timing.windows(4, 1, device.step, device.sync)
    assert timed == timing.Timed(warm_up=[9.0, 5.0, 4.0, 3.0, 2.0], kept=[1.0] * 4)


def test_short_windows_are_added_until_they_are_long_enough_together(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = timing.windows(3, 1, *_calls(Device(monkeypatch, [0.25]))).kept
    assert kept == [0.25] * 8
    assert len(timing.windows(3, 1, *_calls(Device(monkeypatch, [1e-6]))).kept) == timing.MOST_WINDOWS


def test_what_never_settles_ends_and_is_not_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, [1.1**number for number in range(1000)])
    timed = timing.windows(4, 1, device.step, device.sync)
    assert timed.count < 40
    assert steadiness.fault(timed.kept) == steadiness.TREND


def test_what_spreads_widely_is_given_up_sooner_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [1.0, 1.4] * 500
    timed = timing.windows(4, 1, *_calls(Device(monkeypatch, seconds)))
    assert (len(timed.kept), timed.count) == (4, 9)
    assert steadiness.fault(timed.kept) == steadiness.SPREAD


def test_what_disturbs_some_windows_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = timing.windows(4, 1, *_calls(Device(monkeypatch, [9.0, 1.0, 2.0, 1.0, 2.0, 1.0])))
    assert timed.kept == [1.0] * 4


@given(st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=50), st.floats(1e-3, 1e3))
def test_whether_samples_are_steady_does_not_depend_on_the_unit(seconds: list[float], unit: float) -> None:
    before, after = steadiness.halves(seconds)
    low, high = steadiness.ends(seconds)
    assume(abs(abs(after - before) / min(before, after) - steadiness.STEADY) > 1e-6)
    assume(abs(high / low - steadiness.MOST_SPREAD) > 1e-6)
    assert steadiness.fault([unit * sample for sample in seconds]) == steadiness.fault(seconds)
    assert steadiness.fault(seconds[::-1]) == steadiness.fault(seconds)


@given(st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=50))
def test_samples_without_a_fault_neither_drift_nor_spread(seconds: list[float]) -> None:
    before, after = steadiness.halves(seconds)
    low, high = steadiness.ends(seconds)
    assert min(seconds) <= low * (1 + 1e-9) <= high * (1 + 2e-9) <= max(seconds) * (1 + 3e-9)
    drifts, spreads = max(before, after) > 1.05 * min(before, after), high > steadiness.MOST_SPREAD * low
    assert bool(steadiness.fault(seconds)) == (drifts or spreads)


@pytest.mark.parametrize(
    ("seconds", "fault"),
    [
        ([], ""),
        ([1.0], steadiness.ONE_SAMPLE),
        ([1.0, 1.1, 1.2], ""),
        ([1.0, 1.1, 1.3], steadiness.SPREAD),
        ([1.0, 2.0, 1.0, 2.0], steadiness.SPREAD),  # without a trend: both halves are alike
        ([1.0, 1.0, 2.0, 2.0], steadiness.TREND),
        ([1.0, 1.02, 0.98, 1.01] * 10 + [9.0], ""),  # one window in forty is no spread
    ],
)
def test_what_keeps_samples_from_being_steady_has_a_name(seconds: list[float], fault: str) -> None:
    assert steadiness.fault(seconds) == fault


def test_timed_puts_seconds_under_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, [0.0])
    seconds: dict[str, float | None] = {}
    with timing.timed(seconds, "build_s"):
        device.now += 5.0
    assert seconds == {"build_s": 5.0}


def test_a_rate_is_of_the_median_sample() -> None:
    assert timing.rate(12, [1.0, 2.0, 300.0]) == 6.0


def test_the_peak_is_this_processes_own() -> None:
    before = hardware.peak_rss_bytes()
    block = bytearray(64 * hardware.MIB)
    assert before > hardware.MIB
    assert hardware.peak_rss_bytes() >= before
    assert len(block) == 64 * hardware.MIB


def test_a_stopwatch_gives_the_seconds_since_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, [3.0])
    elapsed = clock.stopwatch()
    assert elapsed() == 0.0
    device.now += 2.0
    assert (elapsed(), elapsed()) == (2.0, 2.0)
    assert timing.seconds_of(lambda: device.sync("result")) == 3.0


def test_what_fails_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: dict[str, float | None] = {}
    with pytest.raises(ValueError, match="broken"), timing.timed(seconds, "build_s"):
        raise ValueError("broken")
    assert seconds == {}
