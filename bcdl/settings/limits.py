"""The limits of each cell's worker, of time and memory, the budget of time of a whole run, and their options."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.settings.option import Option
from bcdl.text import quoted

_MEMORY_SHARE = (
    0.9  # of the machine's memory: a worker that its limit ends is explained, one that the system ends may not be
)

OPTIONS = (
    Option(("--cell-timeout",), "how long a cell may take: `90s`, `30m` or `4h`", "TIME", "4h", value="4h"),
    Option(
        ("--memory-limit",),
        "resident memory that a cell's worker may use: `6000MiB` or `12GiB`",
        "SIZE",
        f"{_MEMORY_SHARE:.0%} of all",
    ),
)
# Of the commands that run several models.
BUDGET = Option(
    ("--budget",),
    "run only the cells that fit in so much time, `10m` for example, one of each model first; `--resume` runs the rest "
    "(`nox`, for each backend; `pytest benchmarks`, `bcdl run`)",
    "TIME",
    "no limit",
)
_TIME_UNITS = {"s": 1, "m": 60, "h": 3600}
_SIZE_UNITS = {"MiB": hardware.MIB, "GiB": 1024 * hardware.MIB}
_MOST_S = 365 * 24 * 3600  # a year
_MOST_BYTES = 2**50  # a million GiB


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a process may run, seconds, and how much resident memory it and its children may use, bytes.

    None stands for no limit.
    """

    seconds: float | None = None
    memory_bytes: int | None = None

    def within(self, seconds: float) -> Limits:
        """These limits, and no more than so many seconds."""
        if seconds >= (math.inf if self.seconds is None else self.seconds):
            return self
        return dataclasses.replace(self, seconds=seconds)


def add_limit_options(add: Callable[..., Any]) -> None:
    """Declare the options of the limits, by a parser's `add_argument` or a pytest group's `addoption`."""
    for option in OPTIONS:
        option.add(add)


def resolve_limits(options: Mapping[str, Any]) -> Limits:
    """The limits that the options of `add_limit_options` ask for; UsageError if one can't be read."""
    seconds = _seconds("--cell-timeout", options["cell_timeout"])
    if options["memory_limit"] is None:
        return Limits(seconds, int(_MEMORY_SHARE * hardware.memory_bytes()))
    size = _quantity(
        "--memory-limit", options["memory_limit"], _SIZE_UNITS, _MOST_BYTES, "as 6000MiB or 12GiB, 1048576GiB at most"
    )
    return Limits(seconds, int(size))


def resolve_budget(options: Mapping[str, Any]) -> float | None:
    """Seconds that the option `BUDGET` gives, None if it is not given; UsageError if it can't be read."""
    text = options["budget"]
    return None if text is None else _seconds(BUDGET.names[0], text)


def _seconds(option: str, text: str) -> float:
    return _quantity(option, text, _TIME_UNITS, _MOST_S, "as 90s, 30m or 4h, 8760h at most")


def _quantity(option: str, text: str, units: Mapping[str, int], most: float, form: str) -> float:
    """A number above 0 with one of the units, times what the unit stands for; UsageError if it is no such, or too much.

    Its digits are ASCII's.
    """
    match = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?)({'|'.join(units)})", text.strip())
    amount = float(match[1]) * units[match[2]] if match else 0.0
    if not 0 < amount <= most:
        raise UsageError(f"{option} {quoted(text)} is no amount above 0 with its unit; write it {form}")
    return amount
