"""The panels of plots of single models: a row a model and its start, a column a backend."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.evaluation.estimates import Result
from bcdl.records.groups import Group, Line
from bcdl.report.plots.style import colour, folded, plain

# Inches.
_SIDE, _LEAST_WIDTH = 2.5, 5.5
_LABEL_WIDTH = 24  # letters


def grid(
    group: Group, results: Sequence[Result], xlabel: str, ylabel: str
) -> tuple[Figure, dict[tuple[Line, str], Axes]]:
    """A panel of [0, 1] x [0, 1] for each model and backend that has a result."""
    lines = [line for line in group.lines if any(result.line == line for result in results)]
    names = [name for name in group.backends if any(result.backend == name for result in results)]
    figure, axes = plt.subplots(
        len(lines),
        len(names),
        figsize=(max(_LEAST_WIDTH, _SIDE * len(names) + 0.8), _SIDE * len(lines) + 1.2),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    panels = {
        (line, backend): axis
        for line, row in zip(lines, axes, strict=True)
        for backend, axis in zip(names, row, strict=True)
    }
    for axis in panels.values():
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    for backend, top, bottom in zip(names, axes[0], axes[-1], strict=True):
        top.set_title(plain(backend), color=colour(backend), fontweight="bold", loc="left", pad=14)
        bottom.set_xlabel(xlabel)
    filled = {(result.line, result.backend) for result in results}
    for line in lines:
        first = next(panels[line, name] for name in names if (line, name) in filled)
        first.set_ylabel(f"{folded(group.label(line), _LABEL_WIDTH)}\n{ylabel}")
        first.tick_params(labelleft=True)
    for line, backend in panels.keys() - filled:
        panels[line, backend].set_visible(False)
    return figure, panels
