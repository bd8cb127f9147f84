"""One figure a model: accuracy and loss by epoch, training and validation, every backend; a row a start."""

import itertools
from collections.abc import Iterator

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcdl.records.groups import Group, Line
from bcdl.report.plots.axes import whole_epochs
from bcdl.report.plots.captions import caption
from bcdl.report.plots.epochs import Series, history
from bcdl.report.plots.style import colour, plain, signs
from bcdl.text import safe_name

_PANELS = {"accuracy": "accuracy", "loss": "binary cross-entropy (nats)"}


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    ran = dict.fromkeys(line for line, *_ in group.ran())
    series = {name: history(group, name) for panel in _PANELS for name in (panel, f"val_{panel}")}
    for model, lines in itertools.groupby(ran, key=lambda line: line.model):
        yield f"model_{safe_name(model)}", _figure(group, list(lines), series)


def _figure(group: Group, lines: list[Line], series: dict[str, list[Series]]) -> Figure:
    """The figure of one model's lines; `series` are those of all models, by the name of their history."""
    figure, axes = plt.subplots(
        len(lines),
        len(_PANELS),
        figsize=(8.6, 1.1 + 2.4 * len(lines)),
        sharex=True,
        sharey="col",
        squeeze=False,
        layout="constrained",
    )
    for line, row in zip(lines, axes, strict=True):
        for axis, (name, ylabel) in zip(row, _PANELS.items(), strict=True):
            for shown, linestyle in ((name, "-"), (f"val_{name}", "--")):
                _draw(axis, group, [curve for curve in series[shown] if curve.line == line], linestyle)
            whole_epochs(axis)
            axis.set_ylabel(ylabel)
        if len(lines) > 1:
            row[0].set_title(plain(group.label(line)), loc="left", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    _legend(axes[0, -1], group)
    caption(figure, group, f"{lines[0].title}: accuracy and loss by epoch", split="val")
    return figure


def _draw(axis: Axes, group: Group, series: list[Series], linestyle: str) -> None:
    for curve in series:
        epochs = range(1, len(curve.values) + 1)
        sign = signs(group, curve.line, curve.backend)
        axis.plot(epochs, curve.values, linestyle=linestyle, linewidth=1.3, **sign)


def _legend(axis: Axes, group: Group) -> None:
    handles = [Line2D([], [], linewidth=4, color=colour(name), label=plain(name)) for name in group.backends]
    handles += [Line2D([], [], color="black", linestyle="-", label="training")]
    handles += [Line2D([], [], color="black", linestyle="--", label="validation")]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
