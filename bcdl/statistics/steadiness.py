"""Whether samples of time are steady: without a trend, and without a wide spread; and the same of ratios, by round.

Windows are added until they are steady, and are many. An experiment's rounds are a few that were fixed beforehand, and
scatter with the machine: halves of a few such rounds differ by `STEADY` by chance alone. So what they must show is
more.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bcdl.records.record import Record

# Samples have no trend if the medians of their first and second half differ by this share at most.
STEADY = 0.05
_FEWEST = 4  # samples, with which halves and percentiles are compared
# Samples have no wide spread if their 90th percentile is at most this many times their 10th. So far apart are those of
# normal noise of a tenth, a standard deviation, which leaves the median of five samples in doubt by about `STEADY`.
MOST_SPREAD = 1.3
# Fewer samples have no wide spread if the largest is above the least by this share at most.
STEADY_OF_FEW = 0.25
_FEWEST_ROUNDS = 6  # with which halves of rounds are compared: of fewer, chance alone sets the halves apart too often

# What keeps samples from being steady, in words.
TREND, SPREAD, ONE_SAMPLE = "its samples never settled", "its samples spread widely", "it is of one sample"
UNSTEADY = (TREND, SPREAD)


def fault(seconds: list[float]) -> str:
    """What keeps the samples from being steady: `TREND`, `SPREAD` or `ONE_SAMPLE`; empty if nothing, or if none are."""
    if len(seconds) < 2:
        return ONE_SAMPLE if seconds else ""
    if len(seconds) < _FEWEST:
        return "" if _are_alike(seconds) else SPREAD
    before, after = halves(seconds)
    if abs(after - before) > STEADY * min(before, after):
        return TREND
    low, high = ends(seconds)
    return SPREAD if high > MOST_SPREAD * low else ""


def halves(seconds: Sequence[float]) -> tuple[float, float]:
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


def settled(ratios: Sequence[float]) -> tuple[int, bool]:
    """How many of an experiment's first rounds are warm-up, and whether the ratios of the others are one figure.

    The warm-up ends with the last round of the first third that lies off the median of the second half by more than
    `STEADY_OF_FEW`, the rule of few samples; there is none if the rounds after it are no one figure. Ratios are none if

    - the medians of both halves differ by more than `STEADY`, and no ratio of one half lies among those of the other,
      as seldom happens by chance; or
    - there are two regimes: a third or more of the rounds of the first half, two at least, lie off the second half as
      above, and not in the first third alone.

    Of fewer than six rounds, the largest must be within `STEADY_OF_FEW` of the least.
    """
    early = [place for place in _unlike_the_last(ratios) if place < len(ratios) // 3]
    count = early[-1] + 1 if early else 0
    if count and _are_one_figure(ratios[count:]) and not _are_two_regimes(ratios):
        return count, True
    return 0, _are_one_figure(ratios)


def _are_one_figure(ratios: Sequence[float]) -> bool:
    if len(ratios) < _FEWEST_ROUNDS:
        return _are_alike(ratios)
    return not _has_trend(ratios) and not _are_two_regimes(ratios)


def _has_trend(ratios: Sequence[float]) -> bool:
    before, after = halves(ratios)
    half = len(ratios) // 2
    first, second = ratios[:half], ratios[-half:]
    are_apart = max(first) < min(second) or max(second) < min(first)
    return are_apart and abs(after - before) > STEADY * min(before, after)


def _unlike_the_last(ratios: Sequence[float]) -> list[int]:
    """The places of the rounds of the first half that are unlike the second half; none of too few rounds."""
    if len(ratios) < _FEWEST:
        return []
    _, after = halves(ratios)
    return [place for place, ratio in enumerate(ratios[: len(ratios) // 2]) if not _are_alike((ratio, after))]


def _are_two_regimes(ratios: Sequence[float]) -> bool:
    """Whether so many rounds of the first half are unlike the second, and so late, that they are no warm-up."""
    unlike = _unlike_the_last(ratios)
    return len(unlike) >= max(2, len(ratios) // 2 / 3) and unlike[-1] >= len(ratios) // 3


def _are_alike(samples: Sequence[float]) -> bool:
    """Whether the largest is within `STEADY_OF_FEW` of the least."""
    return max(samples) <= (1 + STEADY_OF_FEW) * min(samples)
