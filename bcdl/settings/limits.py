"""What holds each cell's worker to its limits, and the options that say so."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.settings.option import Option

_MEMORY_SHARE = 0.9  # of the machine's: a worker ended by its limit is explained, one ended by the system may not be

OPTIONS = (
    Option(("--cell-timeout",), "how long a cell may take: `90s`, `30m` or `4h`", "TIME", "4h", value="4h"),
    Option(
        ("--memory-limit",),
        "resident memory that a cell's worker may use: `6000MiB` or `12GiB`",
        "SIZE",
        f"{_MEMORY_SHARE:.0%} of all",
    ),
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a process may run, seconds, and how much resident memory it and its children may have, bytes."""

    seconds: float | None = None
    memory_bytes: int | None = None


def add_limit_options(add: Callable[..., Any]) -> None:
    """Declare the options that hold each cell's worker to its limits."""
    for option in OPTIONS:
        option.add(add)


def resolve_limits(options: Mapping[str, Any]) -> Limits:
    """The limits that the options of `add_limit_options` ask for; UsageError if they can't be read."""
    seconds = _quantity("--cell-timeout", options["cell_timeout"], {"s": 1, "m": 60, "h": 3600}, "90s, 30m or 4h")
    if options["memory_limit"] is None:
        return Limits(seconds, int(_MEMORY_SHARE * hardware.memory_bytes()))
    units = {"MiB": 2**20, "GiB": 2**30}
    return Limits(seconds, int(_quantity("--memory-limit", options["memory_limit"], units, "6000MiB or 12GiB")))


def _quantity(option: str, text: str, units: Mapping[str, int], examples: str) -> float:
    """A number above 0 with its unit, in the least unit there is."""
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)({'|'.join(units)})", text.strip())
    if not match or not 0 < float(match[1]) < math.inf:
        raise UsageError(f"{option} {text!r} is no amount above 0 with its unit; write it as {examples}")
    return float(match[1]) * units[match[2]]
