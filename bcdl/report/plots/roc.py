"""ROC curves with 95% bands from resamples of patients: a panel a model and its start, a colour a backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.evaluation import curves, estimates
from bcdl.evaluation.estimates import Result
from bcdl.records.groups import Group
from bcdl.report import formats
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import colour, folded, plain

_COLUMNS = 3
_SIDE, _LEAST_WIDTH = 3.0, 5.5  # inches
_LABEL_WIDTH = 38  # letters


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    results = estimates.worth_drawing(group)
    if not results:
        return
    lines = [line for line in group.lines if any(result.line == line for result in results)]
    columns = min(_COLUMNS, len(lines))
    rows = -(-len(lines) // columns)
    width = max(_LEAST_WIDTH, _SIDE * columns + 0.6)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, (_SIDE + 0.5) * rows + 0.8), squeeze=False, layout="constrained"
    )
    for axis, line in zip(axes.flat, lines, strict=False):
        axis.set_title(folded(group.label(line), _LABEL_WIDTH), loc="left", fontsize=8)
        _panel(axis, [result for result in results if result.line == line])
    for axis in list(axes.flat)[len(lines) :]:
        axis.set_visible(False)
    caption(figure, group, "ROC curves with 95% bands", split="test")
    yield "roc", figure


def _panel(axis: Axes, results: Sequence[Result]) -> None:
    axis.plot([0, 1], [0, 1], color="#555555", linewidth=0.8, linestyle=":")
    for result in results:
        area = formats.estimate(result.estimates["auroc"])
        label = f"{plain(result.backend)} {area}"
        curve = curves.roc(list(result.seeds.values()))
        if curve:
            axis.fill_between(
                curves.RATES, curve.low, curve.high, color=colour(result.backend), alpha=0.14, linewidth=0
            )
            axis.plot(curves.RATES, curve.sensitivity, color=colour(result.backend), linewidth=1.4, label=label)
        else:
            axis.plot([], [], color=colour(result.backend), label=label)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="1 - specificity", ylabel="sensitivity")
    axis.legend(loc="lower right", fontsize=6.5, title="AUROC", title_fontsize=6.5)
