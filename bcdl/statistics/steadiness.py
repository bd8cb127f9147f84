"""Whether samples of time are steady: without a trend."""

from __future__ import annotations

import statistics

from bcdl.records.record import Record

# Samples are steady if the medians of their first and second half differ by this share at most.
STEADY = 0.05
_FEWEST = 4  # samples, with which halves are compared
# Fewer samples are steady if the largest is above the least by this share at most.
STEADY_OF_FEW = 0.25


def is_steady(seconds: list[float]) -> bool | None:
    """Whether the samples show no trend, or, if they are too few for one, no wide spread; None of fewer than two."""
    if len(seconds) < 2:
        return None
    if len(seconds) < _FEWEST:
        return max(seconds) <= (1 + STEADY_OF_FEW) * min(seconds)
    before, after = halves(seconds)
    return abs(after - before) <= STEADY * min(before, after)


def halves(seconds: list[float]) -> tuple[float, float]:
    """The medians of the first and the second half of the samples."""
    half = len(seconds) // 2
    return statistics.median(seconds[:half]), statistics.median(seconds[-half:])


def is_unstable(record: Record, sample: str) -> bool:
    """Whether the record's samples of that name never settled; not if there are none, or too few to judge."""
    return is_steady(record.samples.get(sample, [])) is False
