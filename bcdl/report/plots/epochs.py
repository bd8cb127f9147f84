"""Histories by epoch: each line of a table on each backend, and one panel a backend."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.records.groups import Group, Line
from bcdl.report.plots.axes import label_ends, whole_epochs
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import colour, plain, signs


@dataclasses.dataclass(frozen=True)
class Series:
    """The values by epoch, medians over seeds, of a line of the tables on one backend."""

    line: Line
    backend: str
    values: list[float]


def history(group: Group, name: str) -> list[Series]:
    """The series of the group's records for `name` of their histories."""
    series = []
    for line in group.lines:
        for backend in group.backends:
            runs = [record.history[name] for record in group.of(line, backend) if record.ok and name in record.history]
            epochs = [[v for v in values if v is not None] for values in itertools.zip_longest(*runs)]
            if epochs:
                series.append(Series(line, backend, [statistics.median(v) if v else math.nan for v in epochs]))
    return series


def panels(group: Group, width: float = 3.6, height: float = 3.6) -> tuple[Figure, dict[str, Axes]]:
    """One panel a backend, with shared axes."""
    count = len(group.backends)
    figure, axes = plt.subplots(
        1, count, figsize=(width * count + 0.6, height), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    return figure, dict(zip(group.backends, axes[0], strict=True))


def epoch_panels(group: Group, name: str, title: str, ylabel: str) -> Figure | None:
    """`name` by epoch over all models, one panel a backend; None if no record has such a history."""
    series = history(group, name)
    if not series:
        return None
    figure, axes = panels(group)
    for curve in series:
        epochs = range(1, len(curve.values) + 1)
        axes[curve.backend].plot(epochs, curve.values, linewidth=1.2, **signs(group, curve.line, curve.backend))
    for backend, axis in axes.items():
        ends = [(group.label(curve.line), curve.values[-1]) for curve in series if curve.backend == backend]
        label_ends(axis, max((len(curve.values) for curve in series), default=1), ends)
        axis.set_title(plain(backend), color=colour(backend), fontweight="bold", loc="left")
        axis.set_xlabel("epoch")
        whole_epochs(axis)
    axes[group.backends[0]].set_ylabel(ylabel)
    caption(figure, group, title, split="val" if name.startswith("val_") else "train")
    return figure
