"""Reliability curves: how often images of a score are malignant; a row a model, a column a backend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.evaluation import curves, estimates, metrics
from bcdl.evaluation.estimates import Result
from bcdl.records.groups import Group
from bcdl.report.plots.results_grid import grid
from bcdl.report.plots.style import caption, colour

# Below the curve, in units of its axis: where the bars of counts stand, and how high the highest is.
_GROUND, _BARS = -0.34, 0.22


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    found = estimates.worth_drawing(group, [metrics.BY_NAME["calibration_error"]])
    if not found:
        return
    figure, axes = grid(group, found, "malignant score", "share malignant")
    for result in found:
        _panel(axes[result.line, result.backend], result)
    caption(figure, group, "Reliability with 95% intervals (hollow: none)")
    yield "reliability", figure


def _panel(axis: Axes, result: Result) -> None:
    axis.plot([0, 1], [0, 1], color="#555555", linewidth=0.8, linestyle=":")
    bins = curves.calibration(list(result.seeds.values()))
    most = max(one.images for one in bins)
    sign = colour(result.backend)
    axis.plot([one.score for one in bins], [one.malignant for one in bins], color=sign, linewidth=1.2)
    for one in bins:
        few = np.isnan(one.low)
        axis.plot([one.score] * 2, [one.low, one.high], color=sign, linewidth=1)
        axis.plot(
            [one.score], [one.malignant], marker="o", markersize=4, color=sign, markerfacecolor="white" if few else sign
        )
        height = _BARS * one.images / most
        axis.bar([one.middle], [height], bottom=_GROUND, width=0.09, color="#BBBBBB")
        axis.annotate(
            f"{one.images:.0f}", (one.middle, _GROUND + height), ha="center", va="bottom", fontsize=6, color="#555555"
        )
    axis.set_ylim(_GROUND, 1.02)
    axis.set_yticks(np.linspace(0, 1, 6))
    text = f"ECE {result.estimates['calibration_error']}"
    axis.annotate(text, (1, 1.01), xycoords="axes fraction", ha="right", va="bottom", fontsize=6.5)
