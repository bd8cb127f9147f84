"""The energy that a GPU draws, and its clocks: read from NVML before and after a regime, never while it runs.

Without NVML there are no figures: they are absent, not zero.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from bcdl.machine import clock

# Clock event reasons that hold a GPU below what it could do, by the name of their bit in NVML.
_THROTTLING = {
    "software power cap": "nvmlClocksEventReasonSwPowerCap",
    "hardware slowdown": "nvmlClocksEventReasonHwSlowdown",
    "software thermal slowdown": "nvmlClocksEventReasonSwThermalSlowdown",
    "hardware thermal slowdown": "nvmlClocksThrottleReasonHwThermalSlowdown",
    "hardware power brake": "nvmlClocksThrottleReasonHwPowerBrakeSlowdown",
}
# Time for which the GPU was held back, which it counts itself, so that what happens between two readings is included.
_HELD_BACK = {"power": "NVML_PERF_POLICY_POWER", "temperature": "NVML_PERF_POLICY_THERMAL"}


@dataclasses.dataclass(frozen=True)
class Reading:
    """The GPU at one moment; None stands for what it does not report.

    Attributes:
        time_s: a reading of the clock.
        energy_j: energy drawn since the driver was loaded, joules.
        sm_clock_mhz, memory_clock_mhz: clocks, MHz.
        temperature_c: degrees Celsius.
        throttled: the reasons for which the GPU is held back now.
        held_back_s: seconds below the clocks wanted since the driver was loaded, by cause.
    """

    time_s: float
    energy_j: float | None
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    throttled: tuple[str, ...]
    held_back_s: dict[str, float]


class Watch:
    """A reading before a regime and one after it, and what the GPU did between them."""

    def __init__(self, gpu: _Gpu) -> None:
        self._gpu = gpu
        self._before = self._after = gpu.read()

    def stop(self) -> None:
        self._after = self._gpu.read()

    def metrics(self, regime: str, images: int) -> dict[str, float]:
        """`<regime>_energy_j_per_image` and `<regime>_power_w`: the means over the regime with its warm-up.

        Empty if the GPU does not report its energy.
        """
        if self._before.energy_j is None or self._after.energy_j is None:
            return {}
        energy = self._after.energy_j - self._before.energy_j
        seconds = self._after.time_s - self._before.time_s
        return {f"{regime}_energy_j_per_image": energy / images, f"{regime}_power_w": energy / seconds}

    def state(self) -> dict[str, Any]:
        """Clocks and temperature at both ends, and whether and why the GPU was held back, as JSON values."""
        both = (self._before, self._after)
        held = {
            cause: seconds - self._before.held_back_s[cause]
            for cause, seconds in self._after.held_back_s.items()
            if cause in self._before.held_back_s
        }
        return {
            **{name: [getattr(reading, name) for reading in both] for name in _AT_BOTH_ENDS},
            "throttled": sorted({reason for reading in both for reason in reading.throttled}),
            "held_back_s": {cause: seconds for cause, seconds in held.items() if seconds > 0},
        }


_AT_BOTH_ENDS = ("sm_clock_mhz", "memory_clock_mhz", "temperature_c")


@contextlib.contextmanager
def watched(device: str) -> Iterator[Watch | None]:
    """A watch on the GPU in use, stopped at the end; None on a CPU, and if NVML can't be had."""
    with contextlib.ExitStack() as stack:
        watch = _start(stack) if device == "gpu" else None
        yield watch
        if watch:
            watch.stop()


def _start(stack: contextlib.ExitStack) -> Watch | None:
    try:
        import pynvml  # here: only a GPU needs it
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
        stack.callback(pynvml.nvmlShutdown)
        return Watch(_Gpu(pynvml, _handle(pynvml)))
    except pynvml.NVMLError:
        return None


def _handle(nvml: Any) -> Any:
    """The first GPU that the frameworks see; NVML itself ignores CUDA_VISIBLE_DEVICES."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    return nvml.nvmlDeviceGetHandleByIndex(int(first)) if first.isdigit() else nvml.nvmlDeviceGetHandleByUUID(first)


class _Gpu:
    """A GPU by its handle of NVML, a module without type information."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def read(self) -> Reading:
        nvml = self._nvml
        energy = self._ask("nvmlDeviceGetTotalEnergyConsumption")  # millijoules
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons") or 0
        return Reading(
            time_s=clock.now_s(),
            energy_j=None if energy is None else energy / 1e3,
            sm_clock_mhz=self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            memory_clock_mhz=self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            temperature_c=self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            throttled=tuple(name for name, bit in _THROTTLING.items() if reasons & getattr(nvml, bit)),
            held_back_s=self._held_back_s(),
        )

    def _held_back_s(self) -> dict[str, float]:
        policies = {cause: getattr(self._nvml, policy) for cause, policy in _HELD_BACK.items()}
        held = {cause: self._ask("nvmlDeviceGetViolationStatus", policy) for cause, policy in policies.items()}
        return {cause: status.violationTime / 1e9 for cause, status in held.items() if status is not None}

    def _ask(self, function: str, *arguments: Any) -> Any:
        """What the function answers of this GPU; None if the GPU or its driver does not support it."""
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None
