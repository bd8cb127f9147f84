"""Which of several sides, measured in turn, is the fastest, and how sure that is.

Every two sides are compared at once: an interval of a ratio holds for all pairs of a ranking together, so that it also
holds for the pairs with whichever side came out first. Two sides are called a tie only if such an interval shows that
they are as good as equal; that it can't tell them apart is no tie, but undecided.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from bcdl.statistics import effects

# Rates that differ by no more than this share are as good as equal: no user would choose by it.
AS_GOOD_AS_EQUAL = 0.03
FASTEST, FASTER, SLOWER, TIE, UNDECIDED = "fastest", "faster", "slower", "tie", "undecided"

Rounds = Mapping[str, float]  # images/s of a side's process, by its round


@dataclasses.dataclass(frozen=True)
class Standing:
    """One side.

    Attributes:
        name: of the side.
        rate: geometric mean of its processes' rates, images/s.
        low, high: Student's interval of it, 95 percent, over processes; NaN with fewer than 3.
        ratio: its rate as a share of the fastest side's, in rounds that both have.
        ratio_low, ratio_high: the interval of that, which holds for all pairs of the ranking at once with 95 percent
            (Dunn 1961, as `effects.interval_of_best`); NaN with fewer than 3 rounds in common, and of the fastest.
        verdict: `fastest`, or beside the fastest `slower`, `tie` or `undecided`.
        processes: how many it has.
    """

    name: str
    rate: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    verdict: str
    processes: int


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Sides by their rate, the fastest first."""

    standings: tuple[Standing, ...]

    @property
    def first(self) -> Standing:
        return self.standings[0]

    @property
    def is_decided(self) -> bool:
        """Whether the first is the fastest, beyond doubt and by more than nothing: all others are slower."""
        return len(self.standings) > 1 and all(other.verdict == SLOWER for other in self.standings[1:])

    def named(self, verdict: str) -> list[str]:
        """The names of the sides with that verdict, the fastest of them first."""
        return [standing.name for standing in self.standings if standing.verdict == verdict]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One side beside another that was chosen.

    Attributes:
        ratio: its rate as a share of the other's, in rounds that both have; NaN if there are none.
        low, high: as `ratio_low` and `ratio_high` of a `Standing`.
        verdict: `faster`, `slower`, `tie` or `undecided`.
        rounds: that both have.
    """

    ratio: float
    low: float
    high: float
    verdict: str
    rounds: int


def against(sides: Mapping[str, Rounds], baseline: str) -> dict[str, Ratio]:
    """Every other side beside the baseline, by name, with intervals that hold for all pairs of sides at once."""
    pairs = _pairs(sides)
    return {name: _beside(sides[baseline], sides[name], pairs) for name in sides if name != baseline}


def rank(sides: Mapping[str, Rounds]) -> Ranking:
    """The ranking of sides that have a rate in one round or more, each."""
    pairs = _pairs(sides)
    first = max(sides, key=lambda name: _mean_log(list(_shared(sides, name).values())))
    others = sorted((name for name in sides if name != first), key=lambda name: -_ratio(sides[first], sides[name]))
    return Ranking(tuple(_standing(name, sides, first, pairs) for name in (first, *others)))


def verdict(low: float, high: float) -> str:
    """What the interval of a side's ratio to the fastest says: `tie`, `slower` or `undecided`."""
    if is_tie(low, high):
        return TIE
    return SLOWER if high < 1 else UNDECIDED


def is_tie(low: float, high: float) -> bool:
    """Whether an interval of a ratio shows that both sides are as good as equal."""
    return low >= 1 - AS_GOOD_AS_EQUAL and high <= 1 / (1 - AS_GOOD_AS_EQUAL)


def _pairs(sides: Mapping[str, Rounds]) -> int:
    return max(1, len(sides) * (len(sides) - 1) // 2)


def _beside(baseline: Rounds, other: Rounds, pairs: int) -> Ratio:
    logs = _log_ratios(baseline, other)
    low, high = map(math.exp, effects.mean_interval(logs, pairs))
    said = FASTER if low > 1 else SLOWER if high < 1 else UNDECIDED
    return Ratio(_ratio(baseline, other), low, high, TIE if is_tie(low, high) else said, len(logs))


def _standing(name: str, sides: Mapping[str, Rounds], first: str, pairs: int) -> Standing:
    rates = list(sides[name].values())
    low, high = map(math.exp, effects.mean_interval(np.log(rates)))
    logs = _log_ratios(sides[first], sides[name])
    if name == first:
        return Standing(name, math.exp(_mean_log(rates)), low, high, 1.0, math.nan, math.nan, FASTEST, len(rates))
    ratio_low, ratio_high = map(math.exp, effects.mean_interval(logs, pairs))
    ratio, said = _ratio(sides[first], sides[name]), verdict(ratio_low, ratio_high)
    return Standing(name, math.exp(_mean_log(rates)), low, high, ratio, ratio_low, ratio_high, said, len(rates))


def _shared(sides: Mapping[str, Rounds], name: str) -> Rounds:
    """The side's rates of the rounds that all sides have; all of its rates if they share none."""
    shared = set.intersection(*(set(rounds) for rounds in sides.values()))
    return {block: rate for block, rate in sides[name].items() if not shared or block in shared}


def _log_ratios(first: Rounds, other: Rounds) -> np.ndarray:
    """Log ratios of the other side's rate to the first's in each round that both have: [rounds]."""
    return np.array([math.log(other[block] / first[block]) for block in other if block in first])


def _ratio(first: Rounds, other: Rounds) -> float:
    logs = _log_ratios(first, other)
    return math.exp(float(np.mean(logs))) if len(logs) else math.nan


def _mean_log(rates: Sequence[float]) -> float:
    return float(np.mean(np.log(rates)))
