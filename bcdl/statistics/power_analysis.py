"""What a comparison can find on a machine, from rounds in which the slow-down was known. Never imports Keras.

`benchmarks/experiment_power.py` makes the rounds. Comparisons of `ROUNDS` of them are drawn with replacement and judged
as `bcdl.compare` judges one that stands alone: the share that it calls a regression is its power, and, of equal sides,
its rate of false alarms. Both are estimates from the rounds there were, and have intervals: a bootstrap over rounds, in
which the noise that sets the threshold comes from another resample than the comparisons do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bcdl.records.experiment import EQUAL_SIDES, Experiment
from bcdl.report.plots import style
from bcdl.report.tables import Table
from bcdl.statistics import bootstrap, comparison, effects

NAME = "Slow-downs injected"
ROUNDS = 10  # of a comparison: what `bcdl.ab` runs where nothing else is asked for
_DRAWS = 2_000
# Of the interval: resamples of the rounds, and comparisons drawn in each.
_RESAMPLES, _INNER_DRAWS = 200, 200
_FOUND = 0.8  # the power at which an effect is said to be found: Cohen 1988, Statistical Power Analysis, section 2.4
_MOST_SUBJECTS = 6


def slower_by(share: float) -> str:
    """The name of the way that is slowed down by a share of its time."""
    return f"slower by {share:.0%}"


def share_of(one: Experiment) -> float:
    """The share that the experiment's second way is slowed down by; 0 of equal sides."""
    return 0.0 if one.ways == EQUAL_SIDES else float(one.ways[1].removeprefix("slower by ").removesuffix("%")) / 100


@dataclasses.dataclass(frozen=True)
class Power:
    """How often comparisons are judged a regression, a share in 0..1, and its interval, 95 percent."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.0%} ({self.low:.0%} to {self.high:.0%})"


def power(experiments: Sequence[Experiment]) -> dict[float, Power]:
    """By share of slow-down, rising, how often a comparison of `ROUNDS` rounds is judged a regression.

    `experiments` are those of one subject, on one machine. The threshold is that of the noise of its equal sides.
    """
    equal = _logs(_equal(experiments))
    logs = {share_of(one): _logs(one) for one in experiments}
    return {share: _power(logs[share], equal) for share in sorted(logs)}


def _equal(experiments: Sequence[Experiment]) -> Experiment:
    return next(one for one in experiments if one.ways == EQUAL_SIDES)


def _logs(one: Experiment) -> np.ndarray:
    return np.log(one.b) - np.log(one.a)


def _power(logs: np.ndarray, equal: np.ndarray) -> Power:
    """The power in rounds of log ratios [n], judged by the noise of those of equal sides [m]."""
    draws = np.random.default_rng(0)
    value = _judged(logs, equal, _DRAWS, draws)

    def judged(logs: np.ndarray, equal: np.ndarray) -> float:
        return _judged(logs, equal, _INNER_DRAWS, draws)

    return Power(value, *bootstrap.percentiles(judged, (logs, equal), _RESAMPLES, draws))


def _judged(logs: np.ndarray, equal: np.ndarray, count: int, draws: np.random.Generator) -> float:
    """The share of so many comparisons, their rounds drawn from `logs`, that are called a regression."""
    beyond = comparison.threshold(float(np.std(equal, ddof=1)) / math.sqrt(ROUNDS))
    rounds = bootstrap.draw(logs, draws, (count, ROUNDS))
    return float(np.mean(comparison.is_regression(np.exp(rounds.mean(axis=1)), effects.sign_flip_p(rounds), beyond)))


def by_subject(experiments: Sequence[Experiment]) -> dict[str, list[Experiment]]:
    """The experiments of each subject that has equal sides and rounds enough to draw from."""
    found: dict[str, list[Experiment]] = {}
    for one in experiments:
        if one.name == NAME and len(one.a) >= ROUNDS:
            found.setdefault(one.subject, []).append(one)
    return {name: some for name, some in found.items() if any(one.ways == EQUAL_SIDES for one in some)}


def table(powers: Mapping[str, Mapping[float, Power]], subjects: Mapping[str, Sequence[Experiment]]) -> Table:
    """One line a subject: power by slow-down, false alarms, noise, and the smallest slow-down that is found."""
    shares = sorted({share for found in powers.values() for share in found if share})
    rows = []
    for subject, found in powers.items():
        equal = _equal(subjects[subject])
        spread = equal.noise(ROUNDS)
        least = next((f"{share:.0%}" for share in shares if share in found and found[share].value >= _FOUND), "none")
        told = (str(found[share]) if share in found else "not measured" for share in shares)
        measured = (str(len(equal.a)), f"{spread:.1%}", f"{comparison.threshold(spread):.1%}", str(found[0.0]))
        rows.append((subject, *measured, *told, least))
    slower = (slower_by(share) for share in shares)
    head = ("subject", "rounds", "noise", "threshold", "false alarms", *slower, "smallest found")
    return Table(f"What a comparison of {ROUNDS} rounds finds", head, tuple(rows))


def picture(machine: str, powers: Mapping[str, Mapping[float, Power]]) -> Figure:
    """The power curve of each subject, with its intervals."""
    figure, axis = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    for (subject, found), mark in zip(list(powers.items())[:_MOST_SUBJECTS], "osD^vP", strict=False):
        values = np.array([one.value for one in found.values()])
        ends = np.array([(one.low, one.high) for one in found.values()]).T
        reach = np.clip([values - ends[0], ends[1] - values], 0, None)
        percent = 100 * np.array(list(found))
        axis.errorbar(percent, values, reach, marker=mark, linewidth=1.4, capsize=3, label=style.plain(subject))
    axis.axhline(_FOUND, color="#999999", linewidth=0.8, linestyle="--")
    axis.set_xscale("symlog", linthresh=2)
    axis.set_xticks([0, 2, 5, 10, 20, 50], ["0", "2", "5", "10", "20", "50"])
    axis.set_xlim(-0.3, 56)
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel("injected slow-down (percent of a step's time; linear to 2, then logarithmic)")
    axis.set_ylabel(f"share of comparisons\nof {ROUNDS} rounds that find it")
    axis.legend(loc="upper left", fontsize=8)
    style.footer(
        figure,
        "What a comparison can find",
        f"Machine: {machine}. At 0 percent: false alarms. Bars: 95% intervals over rounds. "
        f"Dashed: {_FOUND:.0%}, where an effect counts as found.",
    )
    return figure
