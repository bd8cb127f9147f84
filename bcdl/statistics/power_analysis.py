"""What a comparison can find on a machine, from rounds in which the slow-down was known.

Comparisons of `ROUNDS` rounds are drawn from those with replacement and judged as `bcdl.compare` judges them, each by
the noise of its own rounds: the share that it calls a regression is its power, and, of equal sides, its rate of false
alarms. It corrects p over the comparisons of a command, so that power depends on how many these are: `COMPARISONS`. The
correction is that of the least of so many p (Holm's first step), the strictest. Powers are estimates from the rounds
there were, and have intervals: a bootstrap over rounds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bcdl.records.experiment import Experiment
from bcdl.statistics import bootstrap, comparison, effects, experiments
from bcdl.statistics.estimated import Estimated

ROUNDS = 10  # of a comparison: what `bcdl.ab` runs if nothing else is asked for
# Of a command: one that stands alone, and two models in the three regimes.
COMPARISONS = (1, 2 * len(comparison.RATES))
DETECTED = 0.8  # the power at which an effect counts as found: Cohen 1988, Statistical Power Analysis, section 2.4
_DRAWS = 2_000
# Of the interval: resamples of the rounds, and comparisons drawn in each.
_RESAMPLES, _INNER_DRAWS = 200, 200


@dataclasses.dataclass(frozen=True)
class PowerAnalysis:
    """What comparisons of one subject on one machine find.

    Attributes:
        subject: what was slowed down, in words.
        rounds: how many there were of equal sides.
        noise: of equal sides, the standard error of the log ratio of `ROUNDS` rounds.
        comparisons: over how many p is corrected.
        powers: by share of slow-down, rising, how often comparisons are judged a regression, a share in 0..1; of equal
            sides, 0, these are false alarms.
    """

    subject: str
    rounds: int
    noise: float
    comparisons: int
    powers: dict[float, Estimated]

    @property
    def threshold(self) -> float:
        """The slow-down, as a share, beyond which a significant ratio with just this noise is a regression."""
        return float(comparison.threshold(self.noise))

    @property
    def smallest_detected(self) -> float | None:
        """The smallest slow-down that was tried and is found; None if none is."""
        detected = (share for share, power in self.powers.items() if share and power.value >= DETECTED)
        return next(detected, None)


def analyse(slowed: Sequence[Experiment]) -> list[PowerAnalysis]:
    """The analyses of each subject that has equal sides and rounds enough to draw from, in the order of subjects.

    There is one for each of `COMPARISONS`.
    `slowed` are experiments on one machine; those that slow nothing down on purpose are left out.
    """
    subjects: dict[str, list[Experiment]] = {}
    for experiment in slowed:
        if experiment.slowdown is not None and len(experiment.a) >= ROUNDS:
            subjects.setdefault(experiment.subject, []).append(experiment)
    analysed = (of_subject for of_subject in subjects.values() if any(map(_is_equal, of_subject)))
    return [analysis for of_subject in analysed for analysis in _analyses(of_subject)]


def _analyses(of_subject: Sequence[Experiment]) -> list[PowerAnalysis]:
    equal = next(filter(_is_equal, of_subject))
    noise = experiments.noise(equal, ROUNDS)
    powers = zip(COMPARISONS, power(of_subject), strict=True)
    return [PowerAnalysis(equal.subject, len(equal.a), noise, count, of_count) for count, of_count in powers]


def power(of_subject: Sequence[Experiment]) -> list[dict[float, Estimated]]:
    """For each of `COMPARISONS`, by share of slow-down, rising, how often one of so many is judged a regression.

    The experiments are those of one subject, on one machine.
    """
    logs = {slowed.slowdown: _logs(slowed) for slowed in of_subject if slowed.slowdown is not None}
    powers = {share: _powers(logs[share]) for share in sorted(logs)}
    return [{share: of_counts[place] for share, of_counts in powers.items()} for place in range(len(COMPARISONS))]


def _is_equal(experiment: Experiment) -> bool:
    """Whether nothing slows down either side."""
    return experiment.slowdown == 0


def _logs(experiment: Experiment) -> np.ndarray:
    return np.log(experiment.b) - np.log(experiment.a)


def _powers(logs: np.ndarray) -> list[Estimated]:
    """The power in rounds of log ratios [n], for each of `COMPARISONS`."""
    draws = np.random.default_rng(0)
    values = _judged(logs, _DRAWS, draws)

    def judged(logs: np.ndarray) -> np.ndarray:
        return _judged(logs, _INNER_DRAWS, draws)

    ends = bootstrap.percentiles(judged, (logs,), _RESAMPLES, draws)
    return [Estimated(*map(float, of_count)) for of_count in zip(values, *ends, strict=True)]


def _judged(logs: np.ndarray, count: int, draws: np.random.Generator) -> np.ndarray:
    """The share of `count` comparisons, their rounds drawn from `logs`, that are called a regression.

    One for each of `COMPARISONS`, [C]: only the correction of p sets them apart.
    """
    rounds = bootstrap.draw(logs, draws, (count, ROUNDS))
    ratios, beyond = np.exp(rounds.mean(axis=1)), comparison.threshold(rounds.std(axis=1, ddof=1) / math.sqrt(ROUNDS))
    # The p of the others, which takes the longest, decides nothing.
    slow = comparison.is_regression(ratios, np.zeros(count), beyond)
    corrected = np.multiply.outer(COMPARISONS, effects.sign_flip_p(rounds[slow]))
    return np.asarray(comparison.is_regression(ratios[slow], corrected, beyond[slow]).sum(axis=-1) / count)
