"""Whether samples of time are steady: without a trend, and without a wide spread."""

from __future__ import annotations

import statistics

from bcdl.records.record import Record

# Samples have no trend if the medians of their first and second half differ by this share at most.
STEADY = 0.05
_FEWEST = 4  # samples, with which halves and percentiles are compared
# Samples have no wide spread if their 90th percentile is at most this many times their 10th. So far apart are those of
# normal noise of a tenth, a standard deviation, which leaves the median of five samples in doubt by about `STEADY`.
MOST_SPREAD = 1.3
# Fewer samples have no wide spread if the largest is above the least by this share at most.
STEADY_OF_FEW = 0.25

# What keeps samples from being steady, in words.
TREND, SPREAD, ONE_SAMPLE = "its samples never settled", "its samples spread widely", "it is of one sample"
UNSTEADY = (TREND, SPREAD)


def fault(seconds: list[float]) -> str:
    """What keeps the samples from being steady: `TREND`, `SPREAD` or `ONE_SAMPLE`; empty if nothing, or if none are."""
    if len(seconds) < 2:
        return ONE_SAMPLE if seconds else ""
    if len(seconds) < _FEWEST:
        return SPREAD if max(seconds) > (1 + STEADY_OF_FEW) * min(seconds) else ""
    before, after = halves(seconds)
    if abs(after - before) > STEADY * min(before, after):
        return TREND
    low, high = ends(seconds)
    return SPREAD if high > MOST_SPREAD * low else ""


def halves(seconds: list[float]) -> tuple[float, float]:
    """The medians of the first and the second half of the samples."""
    half = len(seconds) // 2
    return statistics.median(seconds[:half]), statistics.median(seconds[-half:])


def ends(seconds: list[float]) -> tuple[float, float]:
    """The 10th and the 90th percentile of the samples; of very few the least and the largest.

    Between two samples they are interpolated (Hyndman and Fan, The American Statistician 50(4), 1996, type 7).
    """
    if len(seconds) < _FEWEST:
        return min(seconds), max(seconds)
    low, *_, high = statistics.quantiles(seconds, n=10, method="inclusive")
    return low, high


def is_unstable(record: Record, sample: str) -> bool:
    """Whether the record's samples of that name have a trend or a wide spread; not if there is one, or none."""
    return fault(record.samples.get(sample, [])) in UNSTEADY
