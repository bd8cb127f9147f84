"""Whether one side is slower than another, and by how much: from processes, never from steps.

Steps of one process share its memory layout, its clock and its neighbours, so that they say nothing of another process.
The sample is the process: one rate each.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from bcdl.statistics import bootstrap

# Sign flips or permutations beyond which the p-value is estimated from as many random ones.
_MOST_RESAMPLES = 20_000
_ALPHA = 0.05
# Processes of each side from which on formulas give interval and p: resamples of so many are normal, and take long.
MANY = 50
_ROWS_AT_ONCE = 64  # of log ratios whose signs are flipped together
_MOST_DIFFERENCES = 2**22  # between all of one side and all of the other that are held in memory, 32 MiB


@dataclasses.dataclass(frozen=True)
class Effect:
    """How side B stands to side A.

    Attributes:
        medians: of each side's rates.
        ratio: geometric mean rate of B as a share of A's.
        low, high: bootstrap interval of the ratio, 95 percent; NaN with fewer than 6 processes a side: even
            from the least to the largest of them, it would hold the true ratio less often. Student's, of the log
            ratio, with `MANY` or more.
        p: two-sided permutation p-value of a ratio of 1; NaN with fewer than 2 processes a side. With `MANY` or more
            a side that of the t-test, to which it tends (Hoeffding 1952, Annals of Mathematical Statistics 23,
            169-192).
        least_p: the least p that so many processes can give.
        delta: Cliff's delta: the chance that a process of B is faster than one of A, less the chance that it is slower.
        processes: of each side.
        hodges_lehmann: the ratio by Hodges and Lehmann: from the median of the means of every two rounds' log ratios
            or, of sides measured apart, of the log ratios of every process of B to every one of A (1963, Annals of
            Mathematical Statistics 34, 598-611). A few wild rounds, less than three in ten, move it little; the
            geometric mean they move as far as they like.
        standard_error: of the log of `ratio`, from the scatter of the rounds or, of sides measured apart, from that of
            each side's processes; NaN with fewer than 2.
    """

    medians: tuple[float, float]
    ratio: float
    low: float
    high: float
    p: float
    least_p: float
    delta: float
    processes: tuple[int, int]
    hodges_lehmann: float = math.nan
    standard_error: float = math.nan


def paired(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Effect:
    """The effect of rates measured in turn: a[i] and b[i] in the same round.

    Under no effect the two of a round could as well have come the other way round (Edgington and Onghena,
    Randomization Tests, 4th ed., 2007, chapter 6): n rounds give no p under 2 / 2^n.
    """
    logs = np.log(b) - np.log(a)
    flips = 2 ** len(logs)
    p = np.nan if len(logs) < 2 else _permutation_p((np.log(a), np.log(b)), "samples", flips, seed)
    effect = _effect(a, b, (logs,), _mean, p, flips, seed)
    middle = math.exp(np.median(_means_of_two(logs)))
    return dataclasses.replace(effect, hodges_lehmann=middle, standard_error=_standard_error(logs))


def _means_of_two(values: np.ndarray) -> np.ndarray:
    """The mean of every two of the values [n], each with itself among them (Walsh averages): [n (n + 1) / 2]."""
    first, second = np.triu_indices(len(values))
    return np.asarray((values[first] + values[second]) / 2)


def _standard_error(values: np.ndarray) -> float:
    """The standard error of the mean of the values [n]; NaN of fewer than 2."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def interval_of_best(a: Sequence[float], b: Sequence[float], tried: int) -> tuple[float, float]:
    """The interval, 95 percent, of the ratio of the best of so many that were tried beside `a`; NaN of fewer than 3.

    Student's t on log ratios at a level of 0.05 / tried, which holds for all that were tried at once and so for the one
    that was picked (Dunn 1961, Journal of the American Statistical Association 56, 52-64). A bootstrap of a few rounds
    does not reach so far into the tails.
    """
    low, high = mean_interval(np.log(b) - np.log(a), tried)
    return math.exp(low), math.exp(high)


def mean_interval(values: Sequence[float] | np.ndarray, tried: int = 1, fewest: int = 3) -> tuple[float, float]:
    """Student's interval, 95 percent, of the mean of the values, one of so many tried.

    It has one degree of freedom less than there are values (Student 1908, Biometrika 6, 1-25). NaN of fewer values
    than `fewest`, 2 at least.
    """
    if len(values) < fewest:
        return math.nan, math.nan
    from scipy import stats  # here: drivers import this module, and start without it

    half = stats.t.isf(_ALPHA / tried / 2, len(values) - 1) * _standard_error(np.asarray(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def sign_flip_p(logs: np.ndarray) -> np.ndarray:
    """The p-values [...] of `paired` from log ratios [..., n], n at most 14; all 2^n signs are tried at once.

    Half of them are: the others are the same turned round, and have the same sums but for their sign.
    """
    rows = logs.reshape(-1, logs.shape[-1])
    signs = _signs(rows.shape[-1])
    least = np.abs(rows.sum(axis=-1, keepdims=True)) * (1 - 1e-12)
    counts = np.empty(len(rows))
    # In parts that stay in a processor's cache, and in one piece of memory: new memory costs more than the sums.
    sums = np.empty((_ROWS_AT_ONCE, signs.shape[-1]))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        of_part = np.matmul(rows[part], signs, out=sums[: len(rows[part])])
        counts[part] = np.count_nonzero(np.abs(of_part, out=of_part) >= least[part], axis=-1)
    return (counts / signs.shape[-1]).reshape(logs.shape[:-1])


@functools.lru_cache(maxsize=16)
def _signs(rounds: int) -> np.ndarray:
    """The first half of all choices of signs, 1 or -1, [rounds, 2^(rounds - 1)] float64."""
    return 1.0 - 2 * ((np.arange(2 ** (rounds - 1)) >> np.arange(rounds)[:, None]) & 1)


def sign_flip_p_of_counts(counts: Sequence[int] | np.ndarray) -> float:
    """The two-sided p-value of a sum of whole numbers, each of which could as well have had the other sign.

    Exact for any number of them: the chances of all sums are built up from number to number, without a list of the
    2^n choices of signs (Edgington and Onghena 2007, as `paired`). Of ones alone it is the sign test's.
    """
    sizes = [abs(int(count)) for count in counts if count]
    chances = np.ones(1)  # of each sum of those that are positive
    for size in sizes:
        chances = (np.pad(chances, (0, size)) + np.pad(chances, (size, 0))) / 2
    sums = 2 * np.arange(len(chances)) - sum(sizes)
    return min(1.0, float(np.sum(chances[np.abs(sums) >= abs(int(np.sum(counts)))])))


def independent(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Effect:
    """The effect of rates measured apart: any drift of the machine between the sides counts as an effect."""
    logs = np.log(a), np.log(b)
    splits = math.comb(len(a) + len(b), len(a))
    p = np.nan if min(len(a), len(b)) < 2 else _permutation_p(logs, "independent", splits, seed)
    effect = _effect(a, b, logs, _difference, p, splits, seed)
    middle = math.exp(_median_difference(*logs))
    return dataclasses.replace(effect, hodges_lehmann=middle, standard_error=math.hypot(*map(_standard_error, logs)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979, Scandinavian Journal of Statistics 6, 65-70); NaN stay."""
    corrected = [float("nan")] * len(p_values)
    ranked = sorted((p, place) for place, p in enumerate(p_values) if not np.isnan(p))
    largest = 0.0
    for rank, (p, place) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p))
        corrected[place] = largest
    return corrected


def cliffs_delta(a: Sequence[float], b: Sequence[float]) -> float:
    """Of all pairs, the share in which b is larger less that in which a is (Cliff 1993, Psychol. Bull. 114:494-509)."""
    ranked = np.sort(a)
    larger, no_smaller = (ranked.searchsorted(b, side).sum() for side in ("left", "right"))
    return float((larger + no_smaller) / (len(a) * len(b)) - 1)


def _median_difference(a: np.ndarray, b: np.ndarray) -> float:
    """The median of all differences of one of b to one of a; of very many to within rounding, by bisection."""
    if len(a) * len(b) <= _MOST_DIFFERENCES:
        return float(np.median(np.subtract.outer(b, a)))
    ranked, half = np.sort(b), len(a) * len(b) / 2
    low, high = float(np.min(b) - np.max(a)), float(np.max(b) - np.min(a))
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if ranked.searchsorted(a + middle, "right").sum() >= half else (middle, high)
    return high


def _mean(logs: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean(logs, axis=axis))


def _difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean(second, axis=axis) - np.mean(first, axis=axis))


def _permutation_p(sides: tuple[np.ndarray, np.ndarray], kind: str, all_of_them: int, seed: int) -> float:
    if all(np.array_equal(side, sides[0]) for side in sides):
        return 1.0
    from scipy import stats  # here: as in `mean_interval`

    if min(map(len, sides)) >= MANY:
        test = stats.ttest_rel(*sides) if kind == "samples" else stats.ttest_ind(*sides)
        return float(test.pvalue)
    test = stats.permutation_test(
        sides,
        _difference,
        permutation_type=kind,
        vectorized=True,
        n_resamples=_MOST_RESAMPLES if all_of_them > _MOST_RESAMPLES else np.inf,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _effect(
    a: Sequence[float],
    b: Sequence[float],
    data: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    p: float,
    permutations: int,
    seed: int,
) -> Effect:
    ratio = float(np.exp(np.mean(np.log(b)) - np.mean(np.log(a))))
    low, high = map(float, np.exp(_interval(data, statistic, seed)))
    medians = float(np.median(a)), float(np.median(b))
    least_p = min(1.0, 2 / (permutations if min(map(len, data)) >= MANY else min(permutations, _MOST_RESAMPLES)))
    return Effect(medians, ratio, low, high, p, least_p, cliffs_delta(a, b), (len(a), len(b)))


def _interval(data: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], seed: int) -> tuple[float, float]:
    """The interval, 95 percent, of the statistic, which is a mean or the difference of two, of logs of processes."""
    fewest = min(map(len, data))
    if fewest < MANY:
        return bootstrap.process_interval(data, statistic, seed)
    from scipy import stats  # here: as in `mean_interval`

    value = float(statistic(*data))
    half = float(stats.t.isf(_ALPHA / 2, fewest - 1)) * math.hypot(*map(_standard_error, data))
    return value - half, value + half
