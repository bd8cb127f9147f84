"""The energy that a GPU draws for a regime, its clocks meanwhile, and whether it was held back: read from NVML.

Nothing is read while windows are timed. Counters of the time for which the GPU was held back are read at the edges; for
energy and clocks the same work is repeated once it has been timed, when it is warm and steady, and a thread watches the
GPU. What it does not report is absent, not zero, and the record says why there is no energy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bcdl.machine import clock, gpus, nvml
from bcdl.machine.nvml import Handle

# Numbers of nvml.h, by which every driver goes; the package's names for them change. These bits of the clock event
# reasons hold a GPU below what it could do (nvmlClocksEventReasons).
_THROTTLING = {
    "software power cap": 0x04,
    "hardware slowdown": 0x08,
    "software thermal slowdown": 0x20,
    "hardware thermal slowdown": 0x40,
    "hardware power brake": 0x80,
}
# Why a GPU was held back for a time that it counts itself (nvmlPerfPolicyType_t).
_HELD_BACK = {"power": 0, "temperature": 1}
_SM, _MEMORY = 1, 2  # clocks (nvmlClockType_t)
_OF_THE_CHIP = 0  # a sensor of temperature (nvmlTemperatureSensors_t)

# NVML's counter of energy moves every 20 to 100 ms, by GPU (J. You et al., ML.ENERGY blog, "Thermally Stable Profiling
# for Accurate GPU Energy Measurement", say about 100 ms). It is looked at so often that an edge is known to this:
_COUNTER_EVERY_S = 0.01
_STATE_EVERY_S = 0.05
_MIG = "a MIG instance has no counter of its own, and its card's counts what others draw, too"
_UNKNOWN = "NVML knows no GPU that computes"


@dataclasses.dataclass(frozen=True)
class Span:
    """How long a GPU is watched: for so many seconds and movements of its counter at least, for `most_s` at most."""

    least_s: float
    updates: int
    most_s: float


WORK = Span(least_s=2.0, updates=20, most_s=10.0)
IDLE = Span(least_s=1.0, updates=10, most_s=3.0)


class Update(NamedTuple):
    """A movement of the counter of energy: when it was seen, a reading of the clock, and joules since some start."""

    time_s: float
    energy_j: float


@dataclasses.dataclass(frozen=True)
class Sample:
    """The GPU at one moment; None stands for what it does not report. MHz, watts, degrees Celsius."""

    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    power_w: float | None
    temperature_c: float | None
    throttled: tuple[str, ...] | None


class Watch:
    """The GPU that computes, while a regime is timed and after it.

    Args:
        card: its card by NVML, which knows energy, clocks and temperature of whole cards alone; None if there is none
            to be asked: then nothing is done.
        missing: why the card can't say the energy of what computes; empty if it may.
    """

    def __init__(self, card: Handle | None, missing: str = "") -> None:
        self._card, self._missing = card, missing
        self._before = self._after = self._counters()

    def begin(self) -> None:
        """The windows that may count begin now."""
        self._before = self._counters()

    def end(self) -> None:
        """They have ended."""
        self._after = self._counters()

    def held_back(self) -> dict[str, Any]:
        """`held_back_share`: for which share of the time between the two the GPU was held back, by cause.

        Nothing if the GPU does not count that.
        """
        (before_s, before), (after_s, after) = self._before, self._after
        grown = {cause: held_s - before[cause] for cause, held_s in after.items() if cause in before}
        if after_s <= before_s:
            return {}
        shares = {cause: min(1.0, held_s / (after_s - before_s)) for cause, held_s in grown.items() if held_s >= 0}
        return {"held_back_share": shares} if shares else {}

    def repeat(self, work: Callable[[], Any], span: Span = WORK) -> Repeated:
        """Do the work again and again, for as long as `span` says, and watch the card in a thread meanwhile."""
        if self._card is None:
            return Repeated(missing=self._missing)
        count, elapsed = 0, clock.stopwatch()
        with _Watcher(self._card) as watcher:
            while True:
                work()
                count, seconds = count + 1, elapsed()
                if seconds >= span.most_s or (seconds >= span.least_s and watcher.has_seen(span.updates)):
                    break
        missing = self._missing or _missing(watcher, span, seconds)
        return Repeated(seconds, count, tuple(watcher.updates), tuple(watcher.samples), missing)

    def _counters(self) -> tuple[float, dict[str, float]]:
        """The clock's reading, and seconds for which the GPU was held back up to now, by cause."""
        if self._card is None:
            return clock.now_s(), {}
        read = {cause: self._card.ask("nvmlDeviceGetViolationStatus", number) for cause, number in _HELD_BACK.items()}
        held_s = {cause: status.violationTime / 1e9 for cause, status in read.items() if status is not None}
        return clock.now_s(), held_s


@dataclasses.dataclass(frozen=True)
class Repeated:
    """What was seen while work was repeated.

    Attributes:
        seconds, count: how long it took, and how many times it was done.
        updates: the movements of the counter of energy within that time.
        samples: the GPU's state, every `_STATE_EVERY_S`.
        missing: why there is no energy; empty if there is.
    """

    seconds: float = 0.0
    count: int = 0
    updates: Sequence[Update] = ()
    samples: Sequence[Sample] = ()
    missing: str = ""

    @property
    def power_w(self) -> float | None:
        """The mean power, watts; None if the counter does not give it.

        From one movement of the counter to another, so that no part of its step is counted that was drawn outside.
        """
        if self.missing:
            return None
        first, last = self.updates[0], self.updates[-1]
        return (last.energy_j - first.energy_j) / (last.time_s - first.time_s)

    def metrics(self, regime: str, images: int) -> dict[str, float]:
        """`<regime>_energy_j_per_image` and `<regime>_power_w`, of `images` each time; empty without energy."""
        power = self.power_w
        if power is None:
            return {}
        return {
            f"{regime}_energy_j_per_image": power * self.seconds / (self.count * images),
            f"{regime}_power_w": power,
        }

    def state(self) -> dict[str, Any]:
        """What `shapes.GpuWatched` names, as JSON values; what the GPU does not report is absent."""
        named = {
            "sm_clock_median_mhz": _over(statistics.median, [sample.sm_clock_mhz for sample in self.samples]),
            "sm_clock_least_mhz": _over(min, [sample.sm_clock_mhz for sample in self.samples]),
            "memory_clock_median_mhz": _over(statistics.median, [sample.memory_clock_mhz for sample in self.samples]),
            "temperature_most_c": _over(max, [sample.temperature_c for sample in self.samples]),
            "power_median_w": _over(statistics.median, [sample.power_w for sample in self.samples]),
            "energy_missing": self.missing or None,
            "throttled_share": self._throttled(),
        }
        counted = {
            "watched_s": self.seconds,
            "repeats": self.count,
            "samples": len(self.samples),
            "energy_updates": len(self.updates),
        }
        return (counted if self.count else {}) | {name: value for name, value in named.items() if value is not None}

    def _throttled(self) -> dict[str, float] | None:
        """The share of the samples in which the GPU was held back, by reason; those that were never seen are absent.

        None if the GPU does not say whether it is held back.
        """
        known = [sample.throttled for sample in self.samples if sample.throttled is not None]
        counts = {why: sum(why in throttled for throttled in known) for why in _THROTTLING}
        return {why: count / len(known) for why, count in counts.items() if count} if known else None


def _over(reduce: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(reduce(known)) if known else None


@contextlib.contextmanager
def watched(device: str) -> Iterator[Watch]:
    """A watch on the GPU that computes, until the block ends; one that does nothing on a CPU."""
    gpu = gpus.computing() if device == "gpu" else None
    if gpu is None:
        yield Watch(None, _UNKNOWN)
        return
    with nvml.opened_gpu(gpu.card) as card:
        yield Watch(card, _MIG if gpu.is_instance else "" if card else _UNKNOWN)


def at_rest(device: str) -> Repeated:
    """What the GPU does for a second in which this process has no work for it."""
    with watched(device) as gpu:
        return gpu.repeat(functools.partial(time.sleep, _STATE_EVERY_S), IDLE)


def _missing(watcher: _Watcher, span: Span, seconds: float) -> str:
    """Why the counter of energy gives no figure; empty if it does."""
    if not watcher.has_counter:
        return "the GPU has no counter of energy"
    if watcher.went_back:
        return "the counter of energy went backwards"
    if len(watcher.updates) < span.updates:
        return f"the counter of energy moved {len(watcher.updates)} times in {seconds:.1f} s, less than {span.updates}"
    return ""


class _Watcher:
    """Watches a card in a thread of its own while the block runs."""

    def __init__(self, card: Handle) -> None:
        self._card = card
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._energy_j = self._read_energy_j()
        self.has_counter = self._energy_j is not None
        self.went_back = False
        self.updates: list[Update] = []
        self.samples: list[Sample] = []

    def __enter__(self) -> _Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def has_seen(self, updates: int) -> bool:
        """Whether the counter moved so often, or will not give a figure however long one waits."""
        return not self.updates or self.went_back or len(self.updates) >= updates

    def _run(self) -> None:
        elapsed, due_s = clock.stopwatch(), 0.0
        while not self._over.wait(_COUNTER_EVERY_S):
            self._look_at_counter()
            if elapsed() >= due_s:
                self.samples.append(self._sample())
                due_s = elapsed() + _STATE_EVERY_S

    def _look_at_counter(self) -> None:
        energy_j = self._read_energy_j()
        if energy_j is None or self._energy_j is None or energy_j == self._energy_j:
            return
        self.went_back |= energy_j < self._energy_j
        self._energy_j = energy_j
        self.updates.append(Update(clock.now_s(), energy_j))

    def _read_energy_j(self) -> float | None:
        millijoules = self._card.ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1e3

    def _sample(self) -> Sample:
        milliwatts = self._card.ask("nvmlDeviceGetPowerUsage")
        reasons = self._reasons()
        return Sample(
            sm_clock_mhz=self._card.ask("nvmlDeviceGetClockInfo", _SM),
            memory_clock_mhz=self._card.ask("nvmlDeviceGetClockInfo", _MEMORY),
            power_w=None if milliwatts is None else milliwatts / 1e3,
            temperature_c=self._card.ask("nvmlDeviceGetTemperature", _OF_THE_CHIP),
            throttled=None if reasons is None else tuple(why for why, bit in _THROTTLING.items() if reasons & bit),
        )

    def _reasons(self) -> int | None:
        """Bits of why the GPU is held back; drivers before 535 have the function by its earlier name, or none."""
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        return next((bits for name in names if (bits := self._card.ask(name)) is not None), None)
