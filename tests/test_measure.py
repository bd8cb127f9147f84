"""The clock: what lies inside a window, and what is waited for at its edges."""

from __future__ import annotations

from typing import Any

import pytest

from bcdl import measure


class Device:
    """Notes every call, and moves the clock on when it is synchronised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.now = 0.0
        monkeypatch.setattr(measure.time, "perf_counter", lambda: self.now)

    def step(self) -> str:
        self.calls.append("step")
        return "result"

    def sync(self, value: Any) -> None:
        assert value == "result"
        self.calls.append("sync")
        self.now += 2.0


def test_a_window_is_its_steps_and_one_synchronisation(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    assert measure.windows(2, 3, device.step, device.sync) == [2.0, 2.0]
    assert device.calls == ["step", "step", "step", "sync"] * 3  # the first window is a warm-up, untimed


def test_timed_puts_seconds_under_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    seconds: dict[str, float] = {}
    with measure.timed(seconds, "build_s"):
        device.now += 5.0
    assert seconds == {"build_s": 5.0}


def test_a_rate_is_of_the_median_sample() -> None:
    assert measure.rate(12, [1.0, 2.0, 300.0]) == 6.0


def test_the_peak_is_this_processes_own() -> None:
    before = measure.peak_rss_bytes()
    block = bytearray(64 * measure.MIB)
    assert before > measure.MIB
    assert measure.peak_rss_bytes() >= before
    assert len(block) == 64 * measure.MIB
