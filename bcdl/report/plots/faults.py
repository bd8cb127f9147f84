"""What each fault of the source study does: accuracy by epoch with it and without it, and the differences in test."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bcdl.evaluation import variants
from bcdl.evaluation.faults import Effect, Effects
from bcdl.records.groups import Line
from bcdl.report.plots.axes import whole_epochs
from bcdl.report.plots.style import colour, footer, plain
from bcdl.report.plots.training_curves import median_by_epoch
from bcdl.settings.words import value_words

SHOWS = (
    "Accuracy by epoch with each fault of the source study and without it, and the differences in test, with intervals"
)
_WITHOUT = "#6b6b6b"
_LEAST = 0.4  # of the axes of accuracy: under that of guessing, so that there is room for the legend
_STYLES: dict[str, Any] = {"val_accuracy": "-", "accuracy": ":"}
# Inches.
_WIDTH, _ROW, _FRAME = 8.4, 1.45, 1.2


def picture(found: Effects, machine: str) -> Figure:
    """The figure: a row a fault, its curves at the left, its differences at the right."""
    rows = found.effects
    figure, axes = plt.subplots(
        len(rows), 1 + len(variants.COMPARED), figsize=(_WIDTH, _FRAME + _ROW * len(rows)), sharex="col",
        squeeze=False, width_ratios=(1.6, 1, 1), layout="constrained",
    )  # fmt: skip
    shade = colour(found.base.cell.backend)
    for row, effect in zip(axes, rows, strict=True):
        _curves(row[0], effect, shade)
        row[0].set_title(plain(title(found, effect)), loc="left", fontsize=9, fontweight="bold")
        for axis, metric in zip(row[1:], variants.COMPARED, strict=True):
            _difference(axis, effect, metric.name, shade)
    axes[-1][0].set_xlabel("epoch")
    for axis, metric in zip(axes[-1][1:], variants.COMPARED, strict=True):
        axis.set_xlabel(f"{metric.title}, with - without")
    drawn = (value for row in axes for line in row[0].lines for value in line.get_ydata())
    lowest = min([_LEAST, *(value for value in drawn if not math.isnan(value))])
    for row in axes:
        row[0].set_ylim(lowest - 0.02, 1.02)
    _legend(axes[0][0], shade)
    line = Line.of(found.base.cell)
    footer(
        figure,
        f"What each fault of the source study does: {line.title} on {found.base.cell.backend}",
        f"Trained without a fault: {line.short_start}. Differences with 95% intervals. Machine: {machine}.",
    )
    return figure


def title(found: Effects, effect: Effect) -> str:
    """The fault in words, and the setting of the training that it was switched on in if that is not the others'."""
    apart = variants.differing((found.base, effect.base))
    return ", ".join([effect.fault.title, *filter(None, [value_words(effect.base.cell, apart)])])


def _curves(axis: Axes, effect: Effect, shade: str) -> None:
    """Accuracy by epoch, medians over the seeds and folds that both have."""
    drawn = {(record.cell.seed, record.cell.fold) for record in effect.faulty}
    same = [record for record in effect.base.records if (record.cell.seed, record.cell.fold) in drawn]
    for records, tint in ((same, _WITHOUT), (effect.faulty, shade)):
        for name, style in _STYLES.items():
            values = median_by_epoch(record.history.get(name, []) for record in records)
            axis.plot(range(1, len(values) + 1), values, color=tint, linestyle=style, linewidth=1.4)
    axis.set_ylabel("accuracy")
    whole_epochs(axis)


def _difference(axis: Axes, effect: Effect, metric: str, shade: str) -> None:
    estimated = effect.differences[metric]
    axis.axvline(0, color="#555555", linewidth=1, linestyle=":")
    if not math.isnan(estimated.low):
        axis.plot([estimated.low, estimated.high], [0, 0], color=shade, linewidth=1.6)
    axis.plot([estimated.value], [0], color=shade, marker="o", markersize=6)
    axis.set_ylim(-1, 1)
    axis.set_yticks([])
    axis.xaxis.set_major_locator(MaxNLocator(nbins=4))


def _legend(axis: Axes, shade: str) -> None:
    words = {"val_accuracy": "validation", "accuracy": "training"}
    handles = [
        Line2D([], [], color=tint, linestyle=_STYLES[name], label=f"{words[name]}, {which} the fault")
        for tint, which in ((_WITHOUT, "without"), (shade, "with"))
        for name in _STYLES
    ]
    axis.legend(handles=handles, fontsize=6.5, loc="lower right", ncols=2, handlelength=2.2)
