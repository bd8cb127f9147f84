"""Training accuracy, validation accuracy and training loss by epoch, a column a backend, a line a model and its start.

A smoke test has none: after a few epochs on a few drawings, what the lines do is chance.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcdl.evaluation import smoke
from bcdl.records.groups import Group, Line
from bcdl.report.plots.axes import whole_epochs
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import colour, folded, plain, signs

_LEAST_EPOCHS = 3
_LABEL_WIDTH = 26  # letters
# Each panel's label, if training images are augmented and if they are not.
_PANELS = {
    "accuracy": ("accuracy in training\n(augmented)", "accuracy in\ntraining"),
    "val_accuracy": ("accuracy in\nvalidation", "accuracy in\nvalidation"),
    "loss": ("loss in training\n(nats; augmented)", "loss in training\n(nats)"),
}
_STYLES = ("-", "--", ":", "-.", (0, (8, 2, 1, 2, 1, 2)), (0, (1, 3)), (0, (3, 5)))


@dataclasses.dataclass(frozen=True)
class Series:
    """The values by epoch, medians over seeds, of a line of the tables on one backend."""

    line: Line
    backend: str
    values: list[float]


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    series = {name: history(group, name) for name in _PANELS}
    longest = max((len(curve.values) for curves in series.values() for curve in curves), default=0)
    if longest < _LEAST_EPOCHS or smoke.note(group.records):
        return
    names = [name for name in group.backends if any(c.backend == name for curves in series.values() for c in curves)]
    figure, axes = plt.subplots(
        len(_PANELS), len(names), figsize=(2.9 * len(names) + 2.6, 6.2), sharex=True, sharey="row", squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, (name, (augmented, plain_label)) in zip(axes, _PANELS.items(), strict=True):
        for curve in series[name]:
            _draw(row[names.index(curve.backend)], group, curve)
        row[0].set_ylabel(augmented if group.first.cell.augment else plain_label)
    for top, bottom, name in zip(axes[0], axes[-1], names, strict=True):
        top.set_title(plain(name), color=colour(name), fontweight="bold", loc="left")
        bottom.set_xlabel("epoch")
        whole_epochs(bottom)
    _legend(axes[0][-1], group)
    caption(figure, group, "Accuracy and loss by epoch", split="val")
    yield "training_curves", figure


def history(group: Group, name: str) -> list[Series]:
    """The series of the group's records for `name` of their histories."""
    series = []
    for line in group.lines:
        for backend in group.backends:
            runs = [record.history[name] for record in group.of(line, backend) if record.ok and name in record.history]
            if medians := median_by_epoch(runs):
                series.append(Series(line, backend, medians))
    return series


def median_by_epoch(runs: Iterable[Sequence[float | None]]) -> list[float]:
    """The median of the runs in each epoch; NaN if none has a value of it."""
    epochs = [[value for value in values if value is not None] for values in itertools.zip_longest(*runs)]
    return [statistics.median(values) if values else math.nan for values in epochs]


def _draw(axis: Axes, group: Group, curve: Series) -> None:
    epochs = range(1, len(curve.values) + 1)
    sign = _sign(group, curve.line) | {"color": colour(curve.backend)}
    axis.plot(epochs, curve.values, **sign, markerfacecolor=signs(group, curve.line, curve.backend)["markerfacecolor"])


def _sign(group: Group, line: Line) -> dict[str, Any]:
    """The marker of the model, and a kind of line that no other line of the model has."""
    same = [other for other in group.lines if other.model == line.model]
    return {
        "marker": signs(group, line, "")["marker"],
        "markersize": 4,
        "linestyle": _STYLES[same.index(line) % len(_STYLES)],
        "linewidth": 1.2,
    }


def _legend(axis: Axes, group: Group) -> None:
    handles = []
    for line in group.lines:
        hollow = signs(group, line, "")["markerfacecolor"] == "white"
        sign = _sign(group, line) | {"color": "black", "markerfacecolor": "white" if hollow else "black"}
        handles.append(Line2D([], [], label=folded(group.label(line), _LABEL_WIDTH), **sign))
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, handlelength=3.2)
