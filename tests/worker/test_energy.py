"""What a GPU draws, by a stand-in for NVML: the sums, what is absent, and that a CPU is never asked."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from bcdl.machine import clock
from bcdl.worker import energy


class NVMLError(Exception):
    pass


def stand_in(**readings: list[Any]) -> types.ModuleType:
    """An NVML whose functions answer with the next of their readings, or fail where they have none."""
    module = types.ModuleType("pynvml")
    module.NVMLError = NVMLError  # type: ignore[attr-defined]
    for value, name in enumerate([*energy._THROTTLING.values(), *energy._HELD_BACK.values()]):
        setattr(module, name, 1 << value)
    module.NVML_CLOCK_SM, module.NVML_CLOCK_MEM, module.NVML_TEMPERATURE_GPU = 1, 2, 0  # type: ignore[attr-defined]
    functions = (
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetViolationStatus",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperature",
    )
    for name in functions:
        setattr(module, name, _answering(list(readings.get(name, []))))
    module.nvmlInit = module.nvmlShutdown = lambda: None  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByIndex = lambda index: f"gpu {index}"  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByUUID = lambda uuid: uuid  # type: ignore[attr-defined]
    return module


def _answering(values: list[Any]) -> Any:
    def answer(device: Any, *arguments: Any) -> Any:
        if not values:
            raise NVMLError("not supported")
        return values.pop(0)

    return answer


def watch(monkeypatch: pytest.MonkeyPatch, module: types.ModuleType) -> energy.Watch:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    readings = iter([0.0, 10.0, 14.0, 20.0])
    monkeypatch.setattr(clock, "now_s", lambda: next(readings))
    with energy.watched("gpu") as watched:
        pass
    assert watched
    return watched


def test_energy_is_of_each_image_and_power_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(monkeypatch, stand_in(nvmlDeviceGetTotalEnergyConsumption=[5_000_000, 5_800_000]))
    assert watched.metrics("step", 400) == {"step_energy_j_per_image": 2.0, "step_power_w": 80.0}


def test_what_the_gpu_does_not_report_is_absent_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(monkeypatch, stand_in())
    assert watched.metrics("step", 400) == {}
    assert watched.state()["temperature_c"] == [None, None]
    assert watched.state()["held_back_s"] == {}


def test_throttling_at_either_end_or_between_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [types.SimpleNamespace(violationTime=ns) for ns in (10**9, 0, 10**9, 3 * 10**9)]
    watched = watch(
        monkeypatch,
        stand_in(nvmlDeviceGetCurrentClocksEventReasons=[0, 0b1001], nvmlDeviceGetViolationStatus=held),
    )
    state = watched.state()
    assert state["throttled"] == ["hardware thermal slowdown", "software power cap"]
    assert state["held_back_s"] == {"temperature": 3.0}


def test_the_gpu_watched_is_the_one_that_frameworks_see(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    module = stand_in()
    module.nvmlDeviceGetHandleByIndex = asked.append  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByUUID = asked.append  # type: ignore[attr-defined]
    for visible in ("3,1", "GPU-8f2", ""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        watch(monkeypatch, module)
    assert asked == [3, "GPU-8f2", 0]


def test_without_nvml_and_on_a_cpu_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    for device in ("gpu", "cpu"):
        with energy.watched(device) as watched:
            assert watched is None
