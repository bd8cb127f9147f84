"""The answer as a picture: rates of training steps with intervals, models down, a colour a backend."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcdl.report.answer import Answer, Row
from bcdl.report.plots.axes import log_rate
from bcdl.report.plots.style import colour, footer, marker, plain

_SPREAD = 0.2  # of a row's height, between backends


def picture(made: Answer) -> Figure:
    """The figure of an answer that has a row or more."""
    height = 1.5 + 0.5 * len(made.rows)
    figure, axis = plt.subplots(figsize=(8.4, height), layout="constrained")
    for place, row in enumerate(made.rows):
        _row(axis, place, row, made.backends)
    axis.set_yticks(range(len(made.rows)), [_label(row, made) for row in made.rows])
    axis.set_ylim(len(made.rows) - 0.5, -0.5)
    log_rate(axis, "training steps")
    handles = [Line2D([], [], linewidth=4, color=colour(name), label=plain(name)) for name in made.backends]
    handles.append(Line2D([], [], marker="o", linestyle="-", color="black", label="in turn, 95% interval"))
    hollow: dict[str, Any] = {"marker": "o", "linestyle": "", "color": "black", "markerfacecolor": "white"}
    handles.append(Line2D([], [], label="one after another:\nnot comparable", **hollow))
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
    footer(figure, "Training steps by model and backend", f"Machine: {made.machine}.")
    return figure


def _label(row: Row, made: Answer) -> str:
    precisions = {other.cell.precision for other in made.rows}
    settings = f"{row.line.title}, {row.cell.image_size} px, batch {row.cell.batch_size}"
    return "\n".join(map(plain, [settings, row.cell.precision] if len(precisions) > 1 else [settings]))


def _row(axis: Axes, place: int, row: Row, names: list[str]) -> None:
    middle = (len(names) - 1) / 2
    for name, rate, low, high in _rates(row):
        y = place + (names.index(name) - middle) * _SPREAD
        if not math.isnan(low):
            axis.hlines(y, low, high, color=colour(name), linewidth=1.5)
        face = "white" if row.ranking is None else colour(name)
        sign: dict[str, Any] = {"marker": marker(row.line.model), "color": colour(name), "markerfacecolor": face}
        axis.plot([rate], [y], linestyle="", markersize=6, **sign)


def _rates(row: Row) -> list[tuple[str, float, float, float]]:
    """Each backend with its rate and the interval of that, NaN if there is none."""
    if row.ranking is not None:
        return [(each.name, each.rate, each.low, each.high) for each in row.ranking.standings]
    rates = ((name, record.value("step_images_per_s")) for name, record in row.records.items())
    return [(name, rate, math.nan, math.nan) for name, rate in rates if rate > 0]
