"""The time of day as records hold it, and how far it is behind; `bcdl.worker.timing` measures durations."""

from __future__ import annotations

from datetime import UTC, datetime

# Clocks that are kept right over a network move by less within a cell.
MOST_S = 1.0


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def behind_s(ended: str) -> float:
    """Seconds by which the time of day is behind this moment, ISO 8601; 0 if it is not, or if that is no moment."""
    try:
        ahead = datetime.fromisoformat(ended) - datetime.now(UTC)
    except (ValueError, TypeError):  # a moment without a time zone is of no use
        return 0.0
    return ahead.total_seconds() if ahead.total_seconds() > MOST_S else 0.0
