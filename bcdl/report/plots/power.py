"""Power curves: how large a slow-down must be for a comparison to detect it. Drawn from experiments, not records."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bcdl.report import formats
from bcdl.report.plots import style
from bcdl.statistics.power_analysis import DETECTED, ROUNDS, PowerAnalysis

_MOST_CURVES = 6


def curves(machine: str, analyses: Sequence[PowerAnalysis]) -> Figure:
    """The power curve of each subject, alone and among several comparisons, with its intervals."""
    figure, axis = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    # In shades of grey: in all other plots a colour is a backend.
    greys = np.linspace(0, 0.6, max(2, len(analyses[:_MOST_CURVES])))
    for analysis, mark, grey in zip(analyses[:_MOST_CURVES], "osD^vP", greys, strict=False):
        powers = list(analysis.powers.values())
        values = np.array([power.value for power in powers])
        ends = np.array([(power.low, power.high) for power in powers]).T
        reach = np.clip([values - ends[0], ends[1] - values], 0, None)
        percent = 100 * np.array(list(analysis.powers))
        label = style.plain(f"{analysis.subject}, {_of(analysis.comparisons)}")
        axis.errorbar(
            percent, values, reach, marker=mark, linewidth=1.4, capsize=3, label=label, color=str(grey),
            linestyle="-" if analysis.comparisons == 1 else "--",
        )  # fmt: skip
    axis.axhline(DETECTED, color="#999999", linewidth=0.8, linestyle="--")
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
        f"Dashed: {formats.percent(DETECTED)}, where an effect counts as found.",
    )
    return figure


def _of(comparisons: int) -> str:
    return "alone" if comparisons == 1 else f"one of {comparisons}"
