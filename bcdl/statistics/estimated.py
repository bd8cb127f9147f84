"""A value with its interval."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Estimated:
    """A value and the ends of its 95 percent interval; NaN for what is not defined."""

    value: float
    low: float
    high: float


def of_both(first: Estimated, second: Estimated) -> Estimated:
    """The value that both have, with an interval for both causes of chance, which are independent of each other.

    Each end is as far off as the root of the sum of squares of the two (method of variance estimates recovery: Zou and
    Donner 2008, Statistics in Medicine 27:1693-1702). NaN if either has no interval.
    """
    value = first.value
    below = math.hypot(value - first.low, value - second.low)
    above = math.hypot(first.high - value, second.high - value)
    return Estimated(value, value - below, value + above)
