"""Makes text of numbers: the only place of the report that decides on digits, signs and words for what is missing.

A value that is None or NaN is undefined; its text is the argument `missing`, by default empty.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Protocol

from bcdl.statistics.bootstrap import RESAMPLES

NOT_RUN = "not run"
NOT_MEASURED = "not measured"
NOT_DEFINED = "not defined"
WARM = "warm cache"
NO_INTERVAL = "no interval"


class Estimated(Protocol):
    """A value with its interval; NaN for what is not defined."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class EstimatedMetric(Estimated, Protocol):
    """A metric that is not defined in so many of the resamples, which its interval leaves out."""

    @property
    def undefined(self) -> int: ...


def is_undefined(value: float | None) -> bool:
    """Whether there is no number to write.

    >>> is_undefined(None), is_undefined(math.nan), is_undefined(0.0)
    (True, True, False)
    """
    return value is None or math.isnan(value)


def fixed(value: float | None, digits: int, missing: str = "") -> str:
    """A number with so many decimals.

    >>> fixed(0.75, 3), fixed(1234.5, 0), fixed(math.nan, 1), fixed(None, 1, NOT_MEASURED)
    ('0.750', '1234', '', 'not measured')
    """
    return missing if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int, missing: str = "") -> str:
    """A difference, with its sign.

    >>> signed(0.25, 2), signed(-0.25, 2), signed(0.0, 2), signed(None, 2)
    ('+0.25', '-0.25', '+0.00', '')
    """
    return missing if value is None or math.isnan(value) else f"{value:+.{digits}f}"


def significant(value: float | None, digits: int, missing: str = "") -> str:
    """A number with so many significant digits at most, as an exponent if it is very large or small.

    >>> significant(0.0123456, 2), significant(233.0, 3), significant(1e-07, 2), significant(math.nan, 2)
    ('0.012', '233', '1e-07', '')
    """
    return missing if value is None or math.isnan(value) else f"{value:.{digits}g}"


def scientific(value: float | None, digits: int, missing: str = "") -> str:
    """A number with an exponent and so many decimals; of 0, the digit alone.

    >>> scientific(0.00123, 1), scientific(0.00123, 0), scientific(0.0, 1), scientific(None, 1, NOT_MEASURED)
    ('1.2e-03', '1e-03', '0', 'not measured')
    """
    if value is None or math.isnan(value):
        return missing
    return "0" if value == 0 else f"{value:.{digits}e}"


def plain(value: float) -> str:
    """A setting as one would type it.

    >>> plain(0.0001), plain(0.05), plain(20.0)
    ('0.0001', '0.05', '20')
    """
    return f"{value:g}"


def written_out(value: float) -> str:
    """A round number, with no power of ten.

    >>> written_out(0.05), written_out(20.0), written_out(1e6)
    ('0.05', '20', '1,000,000')
    """
    return f"{value:,.10g}"


def percent(share: float | None, digits: int = 0, missing: str = "") -> str:
    """A share in 0..1 as a percentage.

    >>> percent(0.95), percent(0.034, 1), percent(None, missing=NOT_MEASURED)
    ('95%', '3.4%', 'not measured')
    """
    return missing if share is None or math.isnan(share) else f"{share:.{digits}%}"


def grouped(count: int) -> str:
    """A large count, its digits in groups of three.

    >>> grouped(1234567)
    '1,234,567'
    """
    return f"{count:,}"


def reading(value: float | None, unit: str) -> str:
    """A reading with its unit; a share in 0..1, if the unit begins with %; the unit alone, if there is no reading.

    >>> reading(0.4, "% of the time"), reading(600.04, "s"), reading(20000, "pages"), reading(None, "too hot")
    ('40% of the time', '600 s', '20000 pages', 'too hot')
    """
    if value is None or math.isnan(value):
        return unit
    return percent(value) + unit[1:] if unit.startswith("%") else f"{plain(round(value, 1))} {unit}"


def seconds(value: float) -> str:
    """A time within a sentence.

    >>> seconds(1.54)
    '1.5 s'
    """
    return f"{value:.1f} s"


def p_value(p: float | None, missing: str = "") -> str:
    """A p-value with three decimals, and no smaller one than those can say.

    >>> p_value(0.0312), p_value(0.0004), p_value(1.0), p_value(math.nan)
    ('0.031', '< 0.001', '1.000', '')
    """
    if p is None or math.isnan(p):
        return missing
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(low: float, high: float, digits: int = 3, missing: str = "") -> str:
    """Both ends of an interval.

    >>> interval(0.9, 1.125), interval(math.nan, math.nan), interval(math.nan, math.nan, missing=NO_INTERVAL)
    ('0.900 to 1.125', '', 'no interval')
    """
    return missing if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def signed_interval(low: float, high: float, digits: int = 3, missing: str = "") -> str:
    """Both ends of the interval of a difference.

    >>> signed_interval(-0.1, 0.25, 2), signed_interval(math.nan, math.nan, missing=NO_INTERVAL)
    ('-0.10 to +0.25', 'no interval')
    """
    return missing if math.isnan(low) else f"{low:+.{digits}f} to {high:+.{digits}f}"


def spread(values: Sequence[float], digits: int, missing: str = "") -> str:
    """The least and the largest of the values.

    >>> spread([0.5, 0.25, 0.75], 2), spread([], 2), spread([math.nan, 0.5], 2, NOT_DEFINED)
    ('0.25 to 0.75', '', 'not defined')
    """
    if not values or any(map(math.isnan, values)):
        return missing
    return interval(min(values), max(values), digits)


def count_range(counts: Sequence[int]) -> str:
    """The least and the largest of the counts, or the one that they all are.

    >>> count_range([3, 1, 2]), count_range([2, 2])
    ('1 to 3', '2')
    """
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"


def counts(values: Sequence[int]) -> str:
    """Counts that stand together.

    >>> counts((1, 5))
    '1, 5'
    """
    return ", ".join(map(str, values))


def images_of_groups(numbers: tuple[int, int, int]) -> str:
    """How many images, of how many groups, and how many of these are single images whose patient is not known.

    >>> images_of_groups((80, 40, 0))
    '80 (40)'
    >>> images_of_groups((80, 40, 12))
    '80 (40, 12 images of no known patient)'
    """
    images, groups, ungrouped = numbers
    return f"{images} ({groups}{of_no_known_patient(ungrouped)})"


def folds(tested: int, of: int) -> str:
    """The folds of a cross-validation that were tested.

    >>> folds(5, 5), folds(2, 5), folds(1, 0)
    ('5 folds', '2 of 5 folds', 'one split')
    """
    if not of:
        return "one split"
    return f"{of} folds" if tested == of else f"{tested} of {of} folds"


def of_no_known_patient(images: int) -> str:
    """What follows a count of groups if some of them are single images whose patient is not known; else empty.

    >>> of_no_known_patient(12)
    ', 12 images of no known patient'
    """
    return f", {images} images of no known patient" if images else ""


def estimate(estimated: EstimatedMetric, gap: str = " ") -> str:
    """A metric with its interval in brackets, and in how many resamples it is not defined.

    `gap` stands before the bracket.

    >>> from types import SimpleNamespace as Row
    >>> estimate(Row(value=0.75, low=0.7, high=0.8, undefined=0))
    '0.750 (0.700 to 0.800)'
    >>> estimate(Row(value=0.75, low=0.7, high=0.8, undefined=7))
    '0.750 (0.700 to 0.800; 7 of 2000 undefined)'
    >>> estimate(Row(value=0.75, low=math.nan, high=math.nan, undefined=7))
    '0.750 (no interval)'
    >>> estimate(Row(value=math.nan, low=math.nan, high=math.nan, undefined=2000))
    'not defined'
    """
    if math.isnan(estimated.value):
        return NOT_DEFINED
    if math.isnan(estimated.low):
        return f"{fixed(estimated.value, 3)}{gap}({NO_INTERVAL})"
    left_out = f"; {estimated.undefined} of {RESAMPLES} undefined" if estimated.undefined else ""
    return f"{fixed(estimated.value, 3)}{gap}({interval(estimated.low, estimated.high)}{left_out})"


def difference(estimated: Estimated, digits: int = 3) -> str:
    """A difference with its interval in brackets, all with their signs.

    >>> from types import SimpleNamespace as Row
    >>> difference(Row(value=0.25, low=-0.1, high=0.6)), difference(Row(value=0.25, low=math.nan, high=math.nan))
    ('+0.250 (-0.100 to +0.600)', '+0.250 (no interval)')
    >>> difference(Row(value=math.nan, low=math.nan, high=math.nan))
    'not defined'
    """
    if math.isnan(estimated.value):
        return NOT_DEFINED
    ends = signed_interval(estimated.low, estimated.high, digits, missing=NO_INTERVAL)
    return f"{signed(estimated.value, digits)} ({ends})"


def percent_estimate(estimated: Estimated | None) -> str:
    """A share in 0..1 with its interval in brackets, as percentages.

    >>> from types import SimpleNamespace as Row
    >>> percent_estimate(Row(value=0.8, low=0.7, high=1.0)), percent_estimate(None)
    ('80% (70% to 100%)', 'not measured')
    """
    if estimated is None:
        return NOT_MEASURED
    return f"{percent(estimated.value)} ({percent(estimated.low)} to {percent(estimated.high)})"


def median(values: Sequence[float] | None, digits: int, wanted: int = 0) -> str:
    """The median of seeds and folds, with the least and the largest of them, and of how many it is if some lack.

    >>> median([0.5, 0.75, 0.7], 2), median([0.5], 2), median([0.5, 0.75], 2, wanted=3), median(None, 2)
    ('0.70 (0.50 to 0.75)', '0.50', '0.62 (0.50 to 0.75), 2 of 3', 'not measured')
    """
    if not values:
        return NOT_MEASURED
    ends = f" ({spread(values, digits)})" if len(values) > 1 else ""
    lacking = f", {len(values)} of {wanted}" if len(values) < wanted else ""
    return f"{fixed(statistics.median(values), digits)}{ends}{lacking}"


def unstable(pair: tuple[float, float], digits: int, trend: bool = True, count: int = 1, wanted: int = 1) -> str:
    """What samples give that are not steady, and of how many records it is so.

    That is what their first half and their second give if they have a `trend`, else the ends of their spread.

    >>> unstable((200.0, 100.0), 1), unstable((80.0, 130.0), 1, trend=False, count=1, wanted=3)
    ('unstable (200.0, then 100.0)', 'unstable (80.0 to 130.0), 1 of 3')
    """
    first, second = (fixed(value, digits) for value in pair)
    between = ", then " if trend else " to "
    return f"unstable ({first}{between}{second})" + (f", {count} of {wanted}" if wanted > 1 else "")


def status(name: str, count: int = 1, wanted: int = 1) -> str:
    """The status of records that are not ok, and how many they are.

    >>> status("out_of_memory"), status("failed", count=1, wanted=3)
    ('out of memory', 'failed (1 of 3)')
    """
    return name.replace("_", " ") + (f" ({count} of {wanted})" if wanted > 1 else "")
