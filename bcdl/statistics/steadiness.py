"""Whether samples of time are steady, without a trend; and the same of ratios between two ways, round by round.

Windows are added until they are steady, and are many. An experiment's rounds are a few that were fixed beforehand, and
scatter with the machine: halves of a few such rounds differ by `STEADY` by chance alone. So what they must show is
more.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bcdl.records.record import Record

# Samples are steady if the medians of their first and second half differ by this share at most.
STEADY = 0.05
_FEWEST = 4  # samples, with which halves are compared
# Fewer samples are steady if the largest is above the least by this share at most.
STEADY_OF_FEW = 0.25
_FEWEST_ROUNDS = 6  # with which halves of rounds are compared: of fewer, chance alone sets the halves apart too often


def is_steady(seconds: list[float]) -> bool | None:
    """Whether the samples show no trend, or, if they are too few for one, no wide spread; None of fewer than two."""
    if len(seconds) < 2:
        return None
    if len(seconds) < _FEWEST:
        return _are_alike(seconds)
    before, after = halves(seconds)
    return abs(after - before) <= STEADY * min(before, after)


def halves(seconds: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and the second half of the samples."""
    half = len(seconds) // 2
    return statistics.median(seconds[:half]), statistics.median(seconds[-half:])


def is_unstable(record: Record, sample: str) -> bool:
    """Whether the record's samples of that name never settled; not if there are none, or too few to judge."""
    return is_steady(record.samples.get(sample, [])) is False


def warm_up_rounds(ratios: Sequence[float]) -> int:
    """How many of the first rounds are warm-up, from the ratio of both ways in each.

    They end with the last round of the first half that lies off the median of the second half by more than
    `STEADY_OF_FEW`, the rule of few samples. More than a third of the rounds is no warm-up, but a second regime:
    then none is left out, and the ratios are not steady.
    """
    count = _unlike_the_last(ratios)
    return count if count <= len(ratios) // 3 else 0


def are_rounds_steady(ratios: Sequence[float]) -> bool | None:
    """Whether the ratios of rounds, those of the warm-up left out, are one figure; None of fewer than two.

    They are not if the medians of both halves differ by more than `STEADY` and no ratio of one half lies among those of
    the other, as seldom happens by chance; nor if rounds beyond the first third are unlike the second half. Of fewer
    than six, the largest must be within `STEADY_OF_FEW` of the least.
    """
    if len(ratios) < 2:
        return None
    if len(ratios) < _FEWEST_ROUNDS:
        return _are_alike(ratios)
    return not _has_trend(ratios) and _unlike_the_last(ratios) <= len(ratios) // 3


def _has_trend(ratios: Sequence[float]) -> bool:
    before, after = halves(ratios)
    half = len(ratios) // 2
    first, second = ratios[:half], ratios[-half:]
    are_apart = max(first) < min(second) or max(second) < min(first)
    return are_apart and abs(after - before) > STEADY * min(before, after)


def _unlike_the_last(ratios: Sequence[float]) -> int:
    """How many rounds there are up to the last one of the first half that is unlike the second half."""
    if len(ratios) < _FEWEST:
        return 0
    _, after = halves(ratios)
    unlike = (not _are_alike((ratio, after)) for ratio in ratios[: len(ratios) // 2])
    return max((number for number, is_unlike in enumerate(unlike, start=1) if is_unlike), default=0)


def _are_alike(samples: Sequence[float]) -> bool:
    """Whether the largest is within `STEADY_OF_FEW` of the least."""
    return max(samples) <= (1 + STEADY_OF_FEW) * min(samples)
