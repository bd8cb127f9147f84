"""What else happened while a regime was timed: read before it and after it, never while it runs.

What the system does not report is absent, not zero. `bcdl.statistics.disturbance` says when a rate is doubtful for it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from bcdl.machine import cgroups, clock, hardware

# The modules of bcdl that measure, as they stand among a process's arguments.
_MEASURES = re.compile(r"bcdl\.(worker|train|parity\.worker|experiments\.workers\.\w+)")
_OF_PACKAGE = "heat of "  # a counter of heat, before the processor that it is read at
_HEAT = "cpu*/thermal_throttle/package_throttle_total_time_ms"


@contextlib.contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """A block; once it has ended, what is given holds what happened meanwhile, as `shapes.Disturbance` names it."""
    facts: dict[str, Any] = {}
    runs, load = other_runs(), _load()
    with _counted_stops() as stops:
        before = _counters()
        yield facts
        after = _counters()
        stopped = stops()
    facts.update(_between(before, after))
    facts["other_runs"] = max(runs, other_runs())
    if stopped is not None:
        facts["stops"] = stopped
    if load is not None:
        facts["load"] = [load, _load()]


def _between(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """By how much each counter grew, and what other processes took of the processors."""
    # Clocks are read one after the other, and some counters of Linux (iowait) step back at times.
    grown = {name: max(0, round(after[name] - before[name], 6)) for name in after if name in before}
    busy_s = grown.pop("busy_s")
    heat_s = [grown.pop(name) for name in list(grown) if name.startswith(_OF_PACKAGE)]
    grown |= {"heat_s": max(heat_s)} if heat_s else {}
    if grown["machine_s"] > 0:  # some containers are shown counters that stand still
        grown["others_s"] = max(0.0, round(busy_s - grown["processor_s"], 6))
    return grown


def _counters() -> dict[str, float]:
    """What has been counted up to now; only differences mean something."""
    measured = {
        "wall_s": clock.now_s(),
        "processor_s": _own_s(),
        "asleep_s": clock.asleep_s(),
        "quota_s": cgroups.throttled_s(),
        **_heat(),
        **_machine(),
        **_usage(),
    }
    return {name: value for name, value in measured.items() if value is not None}


def _own_s() -> float:
    """Processor time of this process, and of its children that have ended, seconds."""
    children = os.times()
    return clock.processor_s() + children.children_user + children.children_system


def _machine() -> dict[str, float | None]:
    """Seconds of the processors that this process may use, together: all, those worked, those a host gave to others."""
    times = psutil.cpu_times(percpu=True)
    cpus = hardware.cpus_allowed() or range(len(times))
    allowed = [times[cpu]._asdict() for cpu in cpus if cpu < len(times)]
    names = [name for name in times[0]._fields if not name.startswith("guest")] if times else []  # part of `user`
    seconds = {name: sum(of_cpu[name] for of_cpu in allowed) for name in names}
    idle, steal = seconds.get("idle", 0.0) + seconds.get("iowait", 0.0), seconds.get("steal")
    every = sum(seconds.values())
    return {"machine_s": every, "busy_s": every - idle - (steal or 0.0), "steal_s": steal}


def _usage() -> dict[str, int]:
    """How often another process was preferred to this one, and how often it waited for a page from the disk."""
    try:
        import resource  # only on Unix
    except ModuleNotFoundError:
        return {}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"involuntary_switches": usage.ru_nivcsw, "major_faults": usage.ru_majflt}


def _heat() -> dict[str, float]:
    """Seconds for which each processor's package has been slowed down for its heat, by a name of its own."""
    counted = {}
    for file in Path("/sys/devices/system/cpu").glob(_HEAT):
        with contextlib.suppress(OSError, ValueError):
            counted[f"{_OF_PACKAGE}{file.parent.parent.name}"] = int(file.read_text(encoding="ascii")) / 1e3
    return counted


def _load() -> float | None:
    """Processes that run or want to, a mean over the last minute; this one is among them."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def other_runs() -> int:
    """How many processes measure for bcdl beside this one, as far as the system shows them."""
    return len(_others())


def _others() -> set[int]:
    """The ids of these processes.

    Children of this one are left out, and those that it descends from: a wrapper such as `timeout` has its arguments.
    """
    own = os.getpid()
    ancestors = {process.pid for process in psutil.Process().parents()}
    processes = (process.info for process in psutil.process_iter(["pid", "ppid", "cmdline"]))
    others = (info for info in processes if own not in (info["pid"], info["ppid"]) and info["pid"] not in ancestors)
    return {info["pid"] for info in others if _measures(info["cmdline"] or ())}


def _measures(arguments: Sequence[str]) -> bool:
    """Whether a process with these arguments measures for bcdl: it runs such a module, or the script `bcdl train`."""
    modules = any(flag == "-m" and _MEASURES.fullmatch(module) for flag, module in itertools.pairwise(arguments))
    return modules or any(
        Path(script).stem == "bcdl" and command == "train" and _is_python(before)
        for before, script, command in zip(("python", *arguments), arguments, arguments[1:], strict=False)
    )


def _is_python(argument: str) -> bool:
    return argument == "-m" or Path(argument).name.lower().startswith(("python", "pypy"))


@contextlib.contextmanager
def _counted_stops() -> Iterator[Callable[[], int | None]]:
    """What is given says how often this process was stopped and continued in the block, at least; None if unknown.

    A process that is continued gets a signal, and several of them may come as one.
    """
    if not hasattr(signal, "SIGCONT") or threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread may handle signals
        return
    stops = itertools.count()
    before = signal.signal(signal.SIGCONT, lambda number, frame: next(stops))
    signal.siginterrupt(signal.SIGCONT, False)
    try:
        yield lambda: next(stops)
    finally:
        signal.signal(signal.SIGCONT, before or signal.SIG_DFL)
