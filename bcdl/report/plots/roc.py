"""ROC curves with bands from resamples of patients: a row a model, a column a backend."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.evaluation import curves, estimates
from bcdl.evaluation.estimates import Result
from bcdl.records.groups import Group
from bcdl.report import formats
from bcdl.report.plots.captions import caption
from bcdl.report.plots.results_grid import grid
from bcdl.report.plots.style import colour


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    results = estimates.worth_drawing(group)
    if not results:
        return
    figure, axes = grid(group, results, "1 - specificity", "sensitivity")
    for result in results:
        _panel(axes[result.line, result.backend], result)
    caption(figure, group, "ROC curves with 95% bands", split="test")
    yield "roc", figure


def _panel(axis: Axes, result: Result) -> None:
    axis.plot([0, 1], [0, 1], color="#555555", linewidth=0.8, linestyle=":")
    curve = curves.roc(list(result.seeds.values()))
    if curve:
        axis.fill_between(curves.RATES, curve.low, curve.high, color=colour(result.backend), alpha=0.22, linewidth=0)
        axis.plot(curves.RATES, curve.sensitivity, color=colour(result.backend), linewidth=1.4)
    area = formats.estimate(result.estimates["auroc"], gap="\n")
    axis.annotate(f"AUROC {area}", (0.97, 0.04), xycoords="axes fraction", ha="right", fontsize=7)
