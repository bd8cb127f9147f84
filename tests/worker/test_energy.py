"""What a GPU draws, by a stand-in for NVML: of warm work, from one movement of the counter to another, or why not."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.machine import nvml
from bcdl.records.checks import check_shape
from bcdl.records.shapes import GpuWatched
from bcdl.worker import energy, timing
from bcdl.worker.energy import Repeated, Span, Update
from tests.machine import fake_nvml
from tests.machine.fake_nvml import SLICED, T4, FakeGpu

SHORT = Span(least_s=0.3, updates=10, most_s=0.8)
WAIT = functools.partial(time.sleep, 0.01)


def watch(monkeypatch: pytest.MonkeyPatch, folder: Path, *listed: FakeGpu, work: Any = WAIT) -> Repeated:
    fake_nvml.loaded(monkeypatch, folder, *listed)
    with energy.watched("gpu") as gpu:
        return gpu.repeat(work, SHORT)


@pytest.mark.parametrize("step_ms", [1, 20, 27])
def test_power_is_that_of_the_gpu_however_its_counter_moves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step_ms: int
) -> None:
    seen = watch(monkeypatch, tmp_path, FakeGpu(watts=400, step_ms=step_ms))
    figures = seen.metrics("step", images=8)
    assert figures["step_power_w"] == pytest.approx(400, rel=0.15)
    # 400 W for the 10 ms and a little more that 8 images take.
    joules = figures["step_power_w"] * seen.seconds / seen.count / 8
    assert figures["step_energy_j_per_image"] == pytest.approx(joules)
    check_shape(GpuWatched, seen.state())
    assert "energy_missing" not in seen.state()


EDGES = st.lists(st.floats(0.02, 0.3), min_size=2, max_size=30)


@given(EDGES, st.floats(1, 1000), st.integers(1, 64))
def test_energy_of_an_image_is_power_times_the_time_of_an_image(steps: list[float], watts: float, images: int) -> None:
    """Whenever the counter moves, and however much of its first and last step lies outside of the work."""
    times = [sum(steps[: number + 1]) for number in range(len(steps))]
    seen = Repeated(sum(steps) + 0.05, 7, [Update(at, watts * at) for at in times])
    assert seen.power_w == pytest.approx(watts)
    assert seen.metrics("step", images)["step_energy_j_per_image"] == pytest.approx(watts * seen.seconds / 7 / images)


def test_energy_of_requests_has_no_part_of_what_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A first request that takes a hundred times as long was divided among all, and its energy with it."""
    seconds = iter([0.5])
    fake_nvml.loaded(monkeypatch, tmp_path, FakeGpu(watts=100, step_ms=10))
    monkeypatch.setattr(timing, "LEAST_S", 0.1)
    work = timing.Work(1, lambda: time.sleep(next(seconds, 0.005)), lambda _: None)
    with energy.watched("gpu") as gpu:
        timed = work.windows(5, gpu.begin)
        gpu.end()
        seen = gpu.repeat(work.window, SHORT)
    assert timed.warm_up[0] > 0.5
    rate = timing.rate(1, timed.kept)
    assert seen.metrics("request", 1)["request_energy_j_per_image"] == pytest.approx(100 / rate, rel=0.3)


@pytest.mark.parametrize(
    ("gpu", "why"),
    [
        (FakeGpu(energy="still"), "the counter of energy moved 0 times in 0.3 s, less than 10"),
        (FakeGpu(step_ms=300), "the counter of energy moved"),
        (FakeGpu(energy="backwards"), "the counter of energy went backwards"),
        (FakeGpu(energy="none"), "the GPU has no counter of energy"),
        (SLICED, "a MIG instance has no counter of its own"),
    ],
)
def test_without_a_counter_that_moves_there_is_no_figure_and_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpu: FakeGpu, why: str
) -> None:
    seen = watch(monkeypatch, tmp_path, gpu)
    assert seen.metrics("step", 8) == {}
    assert seen.state()["energy_missing"].startswith(why)
    assert seen.state()["sm_clock_median_mhz"] == 1980  # all else is told


def test_what_the_gpu_does_not_report_is_absent_and_not_zero(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = watch(monkeypatch, tmp_path, FakeGpu(sm_clock_mhz=-1, temperature_c=-1, watts=-1, energy="none"))
    absent = {"sm_clock_median_mhz", "sm_clock_least_mhz", "temperature_most_c", "power_median_w"}
    assert not absent & seen.state().keys()


def test_throttling_is_told_as_a_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It was told for any, and read at the idle edges alone."""
    reasons = fake_nvml.POWER_CAP | fake_nvml.THERMAL_SLOWDOWN
    seen = watch(monkeypatch, tmp_path, FakeGpu(reasons=reasons, throttled_percent=50, step_ms=30))
    shares = seen.state()["throttled_share"]
    assert shares.keys() == {"software power cap", "software thermal slowdown"}
    assert 0.1 < shares["software power cap"] < 0.9
    assert watch(monkeypatch, tmp_path, FakeGpu()).state()["throttled_share"] == {}


def test_the_gpu_counts_for_how_long_it_was_held_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_nvml.loaded(monkeypatch, tmp_path, FakeGpu(held_back_percent=30))
    with energy.watched("gpu") as gpu:
        assert gpu.held_back() == {}  # nothing has ended
        gpu.begin()
        time.sleep(0.2)
        gpu.end()
    shares = gpu.held_back()["held_back_share"]
    assert shares == {"power": 0.0, "temperature": pytest.approx(0.3, abs=0.05)}


def test_the_gpu_watched_is_the_one_that_computes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NVML's own order is another, and ignores CUDA_VISIBLE_DEVICES."""
    fake_nvml.loaded(monkeypatch, tmp_path, T4, FakeGpu(sm_clock_mhz=1500))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with energy.watched("gpu") as gpu:
        assert gpu.repeat(WAIT, SHORT).state()["sm_clock_median_mhz"] == 1500
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with energy.watched("gpu") as gpu:
        assert gpu.repeat(WAIT, SHORT).state()["sm_clock_median_mhz"] == 1980


def test_nothing_is_read_while_windows_are_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_nvml.loaded(monkeypatch, tmp_path, FakeGpu())
    monkeypatch.setattr(timing, "LEAST_S", 0.1)
    asked: list[str] = []
    ask = nvml.Nvml.ask

    def counted(self: nvml.Nvml, function: str, *arguments: Any) -> Any:
        asked.append(function)
        return ask(self, function, *arguments)

    monkeypatch.setattr(nvml.Nvml, "ask", counted)
    at_steps: list[int] = []
    work = timing.Work(1, lambda: (time.sleep(0.01), at_steps.append(len(asked))), lambda _: None)
    with energy.watched("gpu") as gpu:
        work.windows(5, gpu.begin)
        gpu.end()
    assert len(set(at_steps)) == 2  # before the first window ended, and after
    assert at_steps.count(at_steps[0]) == 1


def test_at_rest_it_is_watched_for_a_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_nvml.loaded(monkeypatch, tmp_path, FakeGpu(watts=82, sm_clock_mhz=345))
    seen = energy.at_rest("gpu")
    assert seen.power_w == pytest.approx(82, rel=0.05)
    assert seen.state()["sm_clock_median_mhz"] == 345


def test_without_nvml_the_reason_is_said_and_on_a_cpu_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("NVML was asked")

    monkeypatch.setattr(nvml, "opened", refuse)
    with energy.watched("cpu") as gpu:
        gpu.begin()
        gpu.end()
        assert gpu.held_back() == {}
    monkeypatch.setattr("bcdl.machine.gpus.computing", lambda: None)
    with energy.watched("gpu") as gpu:
        assert gpu.repeat(WAIT).state() == {"energy_missing": "NVML knows no GPU that computes"}
    assert energy.at_rest("gpu").power_w is None


def test_a_driver_that_does_not_say_whether_it_holds_back_is_not_taken_for_one_that_never_does() -> None:
    sample = energy.Sample(1980, 2619, 400, 50, throttled=None)
    assert "throttled_share" not in energy.Repeated(1.0, 1, (), (sample,), missing="no counter").state()
