"""The time of day as records hold it, and how it was set; `bcdl.worker.timing` measures durations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# Clocks that are kept right over a network move by less within a cell.
_MOST_S = 1.0


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def behind_s(ended: str) -> float:
    """Seconds by which the time of day is behind this moment, ISO 8601; 0 if it is not, or if that is no moment."""
    try:
        ahead = datetime.fromisoformat(ended) - datetime.now(UTC)
    except (ValueError, TypeError):  # a moment without a time zone is of no use
        return 0.0
    return ahead.total_seconds() if ahead.total_seconds() > _MOST_S else 0.0


def jumps(environment: Mapping[str, Any]) -> list[str]:
    """How a record's environment says that its time of day was set, in words; none if it was not."""
    clock = environment.get("clock", {})
    jumped, behind = clock.get("jumped_s", 0.0), clock.get("behind_s", 0.0)
    lines = []
    if abs(jumped) > _MOST_S:
        lines.append(f"the clock was set {'forward' if jumped > 0 else 'back'} by {abs(jumped):.0f} s while it ran")
    if behind > _MOST_S:
        lines.append(f"the clock was {behind:.0f} s behind an earlier record when its run began")
    return lines
