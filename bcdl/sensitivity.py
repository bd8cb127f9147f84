"""What a comparison can find on a machine, from rounds in which the slow-down was known. Never imports Keras.

`benchmarks/experiment_power.py` makes the rounds. A comparison of `ROUNDS` of them is drawn many times without
replacement and judged as `bcdl.compare` judges: the share that it calls a regression is its power, and, of equal sides,
its rate of false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bcdl import compare, significance
from bcdl.experiment import EQUAL_SIDES, Experiment
from bcdl.plots import style
from bcdl.tables import Table

NAME = "Slow-downs injected"
ROUNDS = 10  # of a comparison: what `bcdl.ab` runs where nothing else is asked for
_DRAWS = 400
_FOUND = 0.8  # the power at which an effect is said to be found: Cohen 1988, Statistical Power Analysis, section 2.4
_MOST_SUBJECTS = 6


def slower_by(share: float) -> str:
    """The name of the way that is slowed down by a share of its time."""
    return f"slower by {share:.0%}"


def share_of(one: Experiment) -> float:
    """The share that the experiment's second way is slowed down by; 0 of equal sides."""
    return 0.0 if one.ways == EQUAL_SIDES else float(one.ways[1].removeprefix("slower by ").removesuffix("%")) / 100


def power(experiments: Sequence[Experiment]) -> list[tuple[float, float]]:
    """By share of slow-down, rising, how often a comparison of `ROUNDS` rounds is judged a regression.

    `experiments` are those of one subject, on one machine. The threshold is that of the noise of its equal sides.
    """
    beyond = compare.threshold(_equal(experiments).noise(ROUNDS))
    return sorted((share_of(one), _found(one, beyond)) for one in experiments)


def _equal(experiments: Sequence[Experiment]) -> Experiment:
    return next(one for one in experiments if one.ways == EQUAL_SIDES)


def _found(one: Experiment, beyond: float) -> float:
    draws = np.random.default_rng(0)
    rates = np.array([one.a, one.b])
    judged = []
    for _ in range(_DRAWS):
        chosen = draws.permutation(len(one.a))[:ROUNDS]
        logs = np.log(rates[1, chosen] / rates[0, chosen])
        judged.append(compare.is_regression(float(np.exp(logs.mean())), significance.sign_flip_p(logs), beyond))
    return float(np.mean(judged))


def by_subject(experiments: Sequence[Experiment]) -> dict[str, list[Experiment]]:
    """The experiments of each subject that has equal sides and rounds enough to draw from."""
    found: dict[str, list[Experiment]] = {}
    for one in experiments:
        if one.name == NAME and len(one.a) >= ROUNDS:
            found.setdefault(one.subject, []).append(one)
    return {name: some for name, some in found.items() if any(one.ways == EQUAL_SIDES for one in some)}


def table(experiments: Sequence[Experiment]) -> Table:
    """One line a subject: power by slow-down, false alarms, noise, and the smallest slow-down that is found."""
    subjects = by_subject(experiments)
    shares = sorted({share for some in subjects.values() for share, _ in power(some) if share})
    rows = []
    for subject, some in subjects.items():
        found = dict(power(some))
        equal = _equal(some)
        spread = equal.noise(ROUNDS)
        least = next((f"{share:.0%}" for share in shares if found.get(share, 0.0) >= _FOUND), "none of these")
        powers = (f"{found[share]:.0%}" if share in found else "not measured" for share in shares)
        beyond = compare.threshold(spread)
        rows.append((subject, str(len(equal.a)), f"{spread:.1%}", f"{beyond:.1%}", f"{found[0.0]:.1%}", *powers, least))
    head = (
        "subject",
        "rounds",
        "noise",
        "threshold",
        "false alarms",
        *(slower_by(s) for s in shares),
        "smallest found",
    )
    return Table(f"What a comparison of {ROUNDS} rounds finds", head, tuple(rows))


def picture(machine: str, experiments: Sequence[Experiment]) -> Figure:
    """The power curve of each subject."""
    figure, axis = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    for (subject, some), mark in zip(list(by_subject(experiments).items())[:_MOST_SUBJECTS], "osD^vP", strict=False):
        shares, powers = zip(*power(some), strict=True)
        axis.plot(100 * np.array(shares), powers, marker=mark, linewidth=1.4, label=style.plain(subject))
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
        f"Machine: {machine}. At 0 percent: false alarms. Dashed: {_FOUND:.0%}, where an effect counts as found.",
    )
    return figure
