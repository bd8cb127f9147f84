"""When a rate is doubtful because of what else happened while it was timed: a table of causes, each with its limit.

The readings are of `bcdl.machine.disturbance`, and of the GPU. Those that records lack are not judged; the load and the
involuntary switches are recorded, but a process whose threads are more than its cores makes both by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bcdl.records.record import Record
from bcdl.statistics.steadiness import STEADY

# What may hold a GPU back without being a limit that it always works at, as its power is.
_GPU_FAULTS = (
    *("hardware slowdown", "software thermal slowdown", "hardware thermal slowdown", "hardware power brake"),
    "temperature",
)
# A GPU that is held back for a hundredth of the time moves a rate by less than steady samples may differ.
HELD_BACK = 0.01

# What happened in one regime, as `shapes.Disturbance` names it.
Seen = dict[str, Any]
Read = Callable[[Record, Seen], float | None]


@dataclasses.dataclass(frozen=True)
class Cause:
    """A row of the table.

    Attributes:
        what: the cause, in words.
        read: gives its reading from a record and what happened in one regime; None if it is not known.
        most: the largest reading at which a rate is not doubtful.
        unit: of the reading; if it begins with %, the reading is a share.
    """

    what: str
    read: Read
    most: float
    unit: str


def _of_machine(name: str) -> Read:
    """A reader of a counter of seconds as a share of the time of the processors that the cell might use."""

    def read(_: Record, seen: Seen) -> float | None:
        return seen[name] / seen["machine_s"] if name in seen and seen.get("machine_s", 0) > 0 else None

    return read


def _a_second(name: str) -> Read:
    """A reader of a counter, divided by the seconds of the regime."""

    def read(_: Record, seen: Seen) -> float | None:
        return seen[name] / seen["wall_s"] if name in seen and seen.get("wall_s", 0) > 0 else None

    return read


def _count(name: str) -> Read:
    return lambda _, seen: seen.get(name)


def _of_allowed(name: str) -> Read:
    """A reader of a counter of seconds as a share of the time of the cores that the cell might use."""

    def read(record: Record, seen: Seen) -> float | None:
        cores = record.environment.get("cpu_cores_allowed") or 1
        share = _a_second(name)(record, seen)
        return None if share is None else share / cores

    return read


def _kept_off(record: Record, seen: Seen) -> float | None:
    """The share of the time in which not even one processor worked for a cell that computes on processors."""
    used = _a_second("processor_s")(record, seen)
    return None if used is None or record.cell.device != "cpu" else max(0.0, 1 - used)


CAUSES = (
    # Others may take what the cell leaves idle, and the system's counters are coarse: hence more than `STEADY`.
    Cause("other processes were busy", _of_machine("others_s"), 0.1, "% of the processors' time"),
    # Time of which a cell loses all moves a rate by no more than steady samples may differ.
    Cause("its host gave processor time to others", _of_machine("steal_s"), STEADY, "% of the time"),
    Cause("a quota of processor time held it back", _of_allowed("quota_s"), STEADY, "% of the time"),
    Cause("the processor was slowed down for its heat", _a_second("heat_s"), STEADY, "% of the time"),
    # A page takes from 0.1 ms of a fast disk to 10 ms of a slow one: at 1 ms, 50 a second take `STEADY` of the time.
    Cause("it waited for memory from the disk", _a_second("major_faults"), 50.0, "pages a second"),
    # Training, inference and loading keep one processor busy; a fifth leaves room for what is written to a disk.
    Cause("the process did not get to run", _kept_off, 0.2, "% of the time"),
    # Whoever stops a process or a machine stops it for longer than a window lasts.
    Cause("the process was stopped", _count("stops"), 0.0, "times or more"),
    Cause("the machine was suspended", _count("asleep_s"), 0.5, "s"),
    # Two that measure at once measure each other, whatever their counters say.
    Cause("other runs of bcdl measured at the time", _count("other_runs"), 0.0, "of them"),
    Cause(
        "other processes computed on the GPU as its worker began",
        lambda record, _: record.environment.get("gpu_processes"),
        0.0,
        "of them",
    ),
)


class Disturbed(NamedTuple):
    """What makes a rate doubtful, in words; its reading, if it has one, and the reading's unit, as of `Cause`."""

    what: str
    reading: float | None
    unit: str


def of(record: Record, regime: str) -> Iterator[Disturbed]:
    """What disturbed the record's regime so much that its rate is doubtful."""
    seen: Seen = record.environment.get("disturbance", {}).get(regime, {})
    for cause in CAUSES:
        reading = cause.read(record, seen)
        if reading is not None and reading > cause.most:
            yield Disturbed(cause.what, reading, cause.unit)
    for held in held_back(record, regime):
        if held.why in _GPU_FAULTS:
            unit = held.why if held.share is None else f"% of the time: {held.why}"
            yield Disturbed("the GPU was held back", held.share, unit)


class HeldBack(NamedTuple):
    """Why a GPU was held back, and for which share of the time; None if it was seen, and not for how long."""

    why: str
    share: float | None


def held_back(record: Record, regime: str) -> list[HeldBack]:
    """Why the GPU was held back in the regime, if that was for more than `HELD_BACK` of the time.

    Causes are of the timed windows, by the GPU's own counters, and reasons of the time for which these were repeated,
    by samples. Of records before schema 9 it is each reason that was seen before or after the regime.
    """
    state = _gpu(record, regime)
    shares = {**state.get("throttled_share", {}), **state.get("held_back_share", {})}
    return [
        *(HeldBack(why, share) for why, share in shares.items() if share > HELD_BACK),
        *(HeldBack(why, None) for why in state.get("throttled", ())),
    ]


def is_recorded(record: Record) -> bool:
    """Whether the record says what else happened while it was timed."""
    return bool(record.environment.get("disturbance"))


def _gpu(record: Record, regime: str) -> dict[str, Any]:
    states: dict[str, dict[str, Any]] = record.environment.get("gpu_state", {})
    return states.get(regime, {})
