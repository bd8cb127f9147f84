"""The only bootstrap of the project: what a figure could have been on other patients, processes or rounds.

`blocks` and `interval` resample patients, `process_interval` a few processes, `draw` and `percentiles` any values.

A patient's images resemble each other, so that the patient is drawn, with replacement, and all of its images come along
(the cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). A resample is
a row of weights, how often each image is in it, so that a metric of all resamples is a product of matrices.

The draw is not stratified by class: how many malignant patients a sample of patients has is chance as well, and to hold
it fixed would make the intervals of what depends on it (accuracy, average precision, Brier score) too narrow.

With few groups, some dozens or fewer, the intervals are still somewhat too narrow, as those of every bootstrap are;
that of the calibration error is too narrow with more groups, too.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
# Fewer groups have so few different resamples (126 of 5, 10 of 3) that their percentiles mean nothing.
LEAST_GROUPS = 5
# Weights held in memory at once: 32 MiB of float64.
_BLOCK = 2**22
_SEED = 0
_TAIL = (1 - CONFIDENCE) / 2
# Values closer than this differ by rounding.
_SAME = 1e-12
_PROCESS_RESAMPLES = 9_999
# A bootstrap reaches from the least sample to the largest, which hold the median of 5 processes in 94 percent of cases.
LEAST_PROCESSES = 6


def blocks(groups: int, images: int) -> Iterator[np.ndarray]:
    """The resamples [r, `groups`] float64, how often each group was drawn, in blocks that suit so many `images`.

    They depend on the number of groups alone: figures of the same groups are resampled alike, and may be subtracted.
    """
    drawn = _draws(groups)
    rows = max(1, _BLOCK // max(images, 1))
    for start in range(0, RESAMPLES, rows):
        yield drawn[start : start + rows].astype(np.float64)


@functools.lru_cache(maxsize=8)
def _draws(groups: int) -> np.ndarray:
    drawn = np.random.default_rng(_SEED).multinomial(groups, [1 / groups] * groups, size=RESAMPLES)
    return drawn.astype(np.uint16 if groups < 2**16 else np.uint32)


def interval(
    value: float, resampled: np.ndarray, groups: int, share: bool = False, inflated: bool = False
) -> tuple[float, float]:
    """Low and high end of the interval of a figure, from its values in the resamples [R]; NaN if there is none.

    There is none if the figure rests on fewer `groups` than `LEAST_GROUPS`, is defined in no resample, or is the
    same in all of them: that would claim certainty. The ends are percentiles, with two exceptions:

    - No resample holds a failure if the images hold none. So the interval of a `share` of 0 or 1 reaches at least as
      far as the exact one of that many groups (Clopper and Pearson 1934, Biometrika 26:404-413), about 3 / groups
      (Hanley and Lippman-Hand 1983, JAMA 249:1743-1745).
    - A figure that chance alone raises is raised again by every resampling (`inflated`; the calibration error is one).
      Its percentiles are mirrored at its value, which takes the second rise away, and end at 0 (the basic bootstrap:
      Davison and Hinkley 1997, section 5.2).
    """
    defined = resampled[~np.isnan(resampled)]
    if groups < LEAST_GROUPS or not len(defined):
        return math.nan, math.nan
    low, high = map(float, np.quantile(defined, [_TAIL, 1 - _TAIL]))
    if share and value in (0.0, 1.0):
        reach = 1 - _TAIL ** (1 / groups)
        return (0.0, max(high, reach)) if value == 0 else (min(low, 1 - reach), 1.0)
    if np.ptp(defined) < _SAME:
        return math.nan, math.nan
    return (max(0.0, 2 * value - high), max(0.0, 2 * value - low)) if inflated else (low, high)


def process_interval(
    sides: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], seed: int
) -> tuple[float, float]:
    """The interval, 95 percent, of a statistic of a few processes; NaN if a side has under `LEAST_PROCESSES`.

    Args:
        sides: figures of processes, each side [n]; every one is resampled on its own.
        statistic: takes the sides and `axis`, which it reduces.
        seed: of the draws.
    """
    fewest = min(map(len, sides))
    if fewest < LEAST_PROCESSES:
        return math.nan, math.nan
    from scipy import stats  # here: drivers import this module, and start without it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # all figures the same: the interval is a point
        resampled = stats.bootstrap(
            sides,
            statistic,
            n_resamples=_PROCESS_RESAMPLES,
            confidence_level=1 - 2 * process_tail(fewest),
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    low, high = map(float, resampled.confidence_interval)
    return low, high


def process_tail(count: int) -> float:
    """The share that percentiles of so many processes leave out at each end, to leave out 2.5 percent of the truth.

    Resamples of n vary by (n - 1) / n of the variance and know nothing of Student's tails, so that plain percentiles
    are too narrow for a few processes: of 7, by a quarter (Hesterberg 2015, The American Statistician 69, 371-386:
    the expanded percentile interval).
    """
    from scipy import stats  # here: as in `process_interval`

    return float(stats.norm.sf(stats.t.isf(0.05 / 2, count - 1) * math.sqrt(count / (count - 1))))


def draw(values: np.ndarray, draws: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Values [n] drawn with replacement, of that shape."""
    return draws.choice(values, shape)


def percentiles(
    statistic: Callable[..., np.ndarray], sides: Sequence[np.ndarray], resamples: int, draws: np.random.Generator
) -> np.ndarray:
    """Percentiles 2.5 and 97.5, [2, ...], of a statistic [...] of the sides, each [n], all drawn anew so many times."""
    again = [statistic(*(draw(side, draws, len(side)) for side in sides)) for _ in range(resamples)]
    return np.asarray(np.percentile(again, (2.5, 97.5), axis=0))
