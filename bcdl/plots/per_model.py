"""One figure a model: accuracy and loss by epoch, training and validation, every backend."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcdl.plots.style import caption, colour, history, model_sign, plain, signs, whole_epochs
from bcdl.tables import Group, safe_name

_PANELS = {"accuracy": "accuracy", "loss": "binary cross-entropy (nats)"}


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    for model in dict.fromkeys(line.model for line in group.lines):
        if not any(record.ok and record.cell.model == model for record in group.records):
            continue
        figure, axes = plt.subplots(1, len(_PANELS), figsize=(8.6, 3.5), layout="constrained")
        for axis, (name, ylabel) in zip(axes, _PANELS.items(), strict=True):
            _panel(axis, group, model, name)
            axis.set_ylabel(ylabel)
        _legend(axes[-1], group, model)
        title = next(line.title for line in group.lines if line.model == model)
        caption(figure, group, f"{title}: accuracy and loss by epoch")
        yield f"model_{safe_name(model)}", figure


def _panel(axis: Axes, group: Group, model: str, name: str) -> None:
    for prefix, linestyle in (("", "-"), ("val_", "--")):
        for one in history(group, f"{prefix}{name}"):
            if one.line.model == model:
                epochs = range(1, len(one.values) + 1)
                axis.plot(epochs, one.values, linestyle=linestyle, linewidth=1.3, **signs(group, one.line, one.backend))
    axis.set_xlabel("epoch")
    whole_epochs(axis)


def _legend(axis: Axes, group: Group, model: str) -> None:
    handles = [Line2D([], [], linewidth=4, color=colour(name), label=plain(name)) for name in group.backends]
    handles += [Line2D([], [], color="black", linestyle="-", label="training")]
    handles += [Line2D([], [], color="black", linestyle="--", label="validation")]
    lines = [line for line in group.lines if line.model == model]
    if len(lines) > 1:
        handles += [model_sign(group, line, group.label(line).partition(", ")[2]) for line in lines]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
