"""Reliability curves: how often images of a score are malignant; a row a model, a column a backend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.evaluation import curves, estimates
from bcdl.evaluation.estimates import Result
from bcdl.records.groups import Group
from bcdl.report import formats
from bcdl.report.plots.captions import caption
from bcdl.report.plots.results_grid import grid
from bcdl.report.plots.style import colour

# Below the curve, in units of its axis: where the bars of counts stand, and how high the highest is.
_GROUND, _BARS = -0.34, 0.22


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    results = estimates.worth_drawing(group)
    if not results:
        return
    figure, axes = grid(group, results, "malignant score", "share malignant")
    for result in results:
        _panel(axes[result.line, result.backend], result)
    caption(figure, group, "Reliability with 95% intervals (hollow: none)", split="test")
    yield "reliability", figure


def _panel(axis: Axes, result: Result) -> None:
    axis.plot([0, 1], [0, 1], color="#555555", linewidth=0.8, linestyle=":")
    bins = curves.calibration(list(result.seeds.values()))
    most = max(bin_.images for bin_ in bins)
    sign = colour(result.backend)
    axis.plot([bin_.score for bin_ in bins], [bin_.malignant for bin_ in bins], color=sign, linewidth=1.2)
    for bin_ in bins:
        face = "white" if np.isnan(bin_.low) else sign
        axis.plot([bin_.score] * 2, [bin_.low, bin_.high], color=sign, linewidth=1)
        axis.plot([bin_.score], [bin_.malignant], marker="o", markersize=4, color=sign, markerfacecolor=face)
        height = _BARS * bin_.images / most
        axis.bar([bin_.middle], [height], bottom=_GROUND, width=0.09, color="#BBBBBB")
        top, images = (bin_.middle, _GROUND + height), formats.fixed(bin_.images, 0)
        axis.annotate(images, top, ha="center", va="bottom", fontsize=6, color="#555555")
    axis.set_ylim(_GROUND, 1.02)
    axis.set_yticks(np.linspace(0, 1, 6))
    error = formats.estimate(result.estimates["calibration_error"])
    axis.annotate(f"ECE {error}", (1, 1.01), xycoords="axes fraction", ha="right", va="bottom", fontsize=6.5)
