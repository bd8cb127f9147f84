"""Accuracy and AUROC of every model and backend with their intervals, beside the majority class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.evaluation import estimates, metrics
from bcdl.evaluation.estimates import Result
from bcdl.evaluation.metrics import Metric
from bcdl.records.groups import Group
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import folded, signs

_LABEL_WIDTH = 36  # letters
_LINE = 0.16  # inches that one more line of a label takes
_SHOWN = (metrics.BY_NAME["accuracy"], metrics.BY_NAME["auroc"])


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    results = estimates.worth_drawing(group)
    if not results:
        return
    labels = [folded(f"{group.label(result.line)}, {result.backend}", _LABEL_WIDTH) for result in results]
    row = 0.24 + _LINE * max(label.count("\n") for label in labels)
    height = 1.6 + row * len(results)
    figure, axes = plt.subplots(1, len(_SHOWN), figsize=(8.4, height), sharey=True, layout="constrained")
    for axis, metric in zip(axes, _SHOWN, strict=True):
        _panel(axis, group, metric, results)
    axes[0].set_yticks(range(len(results)), labels)
    axes[0].set_ylim(len(results) - 0.5, -0.5)
    caption(figure, group, "Accuracy and AUROC with 95% intervals (ticks: seeds)", split="test")
    yield "forest", figure


def _panel(axis: Axes, group: Group, metric: Metric, results: Sequence[Result]) -> None:
    for place, result in enumerate(results):
        estimate = result.estimates[metric.name]
        sign = signs(group, result.line, result.backend)
        axis.plot([estimate.low, estimate.high], [place] * 2, color=sign["color"], linewidth=1.6)
        axis.plot([estimate.value], [place], linestyle="", **sign)
        if len(estimate.seeds) > 1:
            ticks = [place] * len(estimate.seeds)
            axis.plot(estimate.seeds, ticks, linestyle="", marker="|", markersize=9, color=sign["color"])
    reference = results[0].reference[metric.name]
    axis.axvline(reference, color="#555555", linewidth=1, linestyle=":")
    axis.annotate("majority class", (reference, 1), xycoords=("data", "axes fraction"), fontsize=7, va="bottom")
    axis.set_xlabel(metric.title)
    axis.grid(visible=False, axis="y")
