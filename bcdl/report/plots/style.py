"""What all plots share: signs for backends and models, end labels, captions, and how a figure is saved."""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bcdl import backends
from bcdl.parity.verdicts import MISMATCH, NO_FINDINGS, UNMEASURED
from bcdl.records import store
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.report.artefacts import SOURCE as SOURCE
from bcdl.settings.models import MODELS
from bcdl.statistics.steadiness import is_unstable
from bcdl.text import legible

# Told apart by the colour-blind and, being of different lightness, in grey print (after Okabe and Ito 2008).
_PALETTE = ("#0072B2", "#E69F00", "#8B1A5C", "#009E73", "#56B4E9", "#D55E00")
_UNKNOWN = "#777777"
_DPI = 120
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "axes.axisbelow": True,
    }
)


def colour(backend: str) -> str:
    """The backend's colour: by its place among the backends there are."""
    if backend not in backends.NAMES:
        return _UNKNOWN
    return _PALETTE[backends.NAMES.index(backend) % len(_PALETTE)]


def marker(model: str) -> str:
    return MODELS[model].marker if model in MODELS else "*"


def signs(group: Group, line: Line, backend: str) -> dict[str, Any]:
    """Keyword arguments of a line or point: a hollow marker is a random start beside a pretrained one."""
    hollow = line.weights == "none" and any(o.model == line.model and o != line for o in group.lines)
    face = "white" if hollow else colour(backend)
    return {"color": colour(backend), "marker": marker(line.model), "markerfacecolor": face, "markersize": 6}


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of the table on one backend, and its values by epoch: the median over seeds."""

    line: Line
    backend: str
    values: list[float]


def history(group: Group, name: str) -> list[Series]:
    """The series of the group's records for `name` of their histories."""
    found = []
    for line in group.lines:
        for backend in group.backends:
            runs = [record.history[name] for record in group.of(line, backend) if record.ok and name in record.history]
            epochs = [[v for v in values if v is not None] for values in itertools.zip_longest(*runs)]
            if epochs:
                found.append(Series(line, backend, [statistics.median(v) if v else float("nan") for v in epochs]))
    return found


def panels(group: Group, width: float = 3.6, height: float = 3.6) -> tuple[Figure, dict[str, Axes]]:
    """One panel a backend, with shared axes."""
    count = len(group.backends)
    figure, axes = plt.subplots(
        1, count, figsize=(width * count + 0.6, height), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    return figure, dict(zip(group.backends, axes[0], strict=True))


def epoch_panels(group: Group, name: str, title: str, ylabel: str) -> Figure | None:
    """`name` by epoch over all models, one panel a backend."""
    series = history(group, name)
    if not series:
        return None
    figure, axes = panels(group)
    for one in series:
        epochs = range(1, len(one.values) + 1)
        axes[one.backend].plot(epochs, one.values, linewidth=1.2, **signs(group, one.line, one.backend))
    for backend, axis in axes.items():
        ends = [(group.label(one.line), one.values[-1]) for one in series if one.backend == backend]
        label_ends(axis, max((len(one.values) for one in series), default=1), ends)
        axis.set_title(plain(backend), color=colour(backend), fontweight="bold", loc="left")
        axis.set_xlabel("epoch")
        whole_epochs(axis)
    axes[group.backends[0]].set_ylabel(ylabel)
    caption(figure, group, title)
    return figure


def log_rate(axis: Axes, label: str) -> None:
    """A logarithmic x axis of rates, its ticks written as plain numbers."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    if high < 4 * low:  # too narrow for a tick at every power of ten: centre it
        middle = (low * high) ** 0.5
        axis.set_xlim(middle / 2.2, middle * 2.2)
    plain_ticks(axis.xaxis)
    axis.set_xlabel(f"{label} (images/s, log scale)")


def plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10 ..., written as plain numbers."""
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: formats.plain(value)))
    axis.set_minor_formatter(NullFormatter())


def whole_epochs(axis: Axes) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def label_ends(axis: Axes, x: float, ends: Sequence[tuple[str, float]]) -> None:
    """Name each line at its right end, spread so that no two names overlap."""
    ends = sorted((end for end in ends if end[1] == end[1]), key=lambda end: end[1])
    low, high = axis.get_ylim()
    gap = (high - low) * 0.055
    heights: list[float] = []
    for _, y in ends:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    overshoot = max(0.0, heights[-1] - high) if heights else 0.0
    for (name, y), height in zip(ends, (h - overshoot for h in heights), strict=True):
        axis.annotate(
            plain(name),
            (x, y),
            xytext=(1.06, (height - low) / (high - low)),
            textcoords="axes fraction",
            fontsize=7,
            color="#333333",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3},
        )


def _model_sign(group: Group, line: Line) -> Line2D:
    """A legend's entry for a model: its marker, in black."""
    sign = signs(group, line, "")
    face = "white" if sign["markerfacecolor"] == "white" else "black"
    return Line2D(
        [], [], linestyle="", **{**sign, "color": "black", "markerfacecolor": face}, label=plain(group.label(line))
    )


def legend(axis: Axes, group: Group) -> None:
    """Markers name models, colours name backends; outside the plot, at its right."""
    handles = [_model_sign(group, line) for line in group.lines]
    handles += [Line2D([], [], linewidth=4, color=colour(name), label=plain(name)) for name in group.backends]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)


def caption(figure: Figure, group: Group, title: str, regimes: Sequence[str] = ()) -> None:
    """The title, what was run, on what; which cells are missing and why; of `regimes` shown, which rates say little."""
    failed = [f"{_name(group, r)} ({formats.status(r.status)})" for r in group.failures]
    notes = {
        "Not shown": [*failed, *(f"{name} (not run)" for name in group.not_run), *_without_rate(group, regimes)],
        "Crossed out, never steady": [
            f"{_name(group, r)}, {regime}"
            for regime in regimes
            for *_, r in group.ran()
            if is_unstable(r, f"{regime}_s")
        ],
        **(_parity_notes(group) if regimes else {}),
    }
    told = [f"{what}: {', '.join(names)}." for what, names in notes.items() if names]
    footer(figure, f"{group.mark}{title}", f"{group.title}. Machine: {group.machine}.", *told)


def _name(group: Group, record: Record) -> str:
    cell, line = record.cell, Line.of(record.cell)
    draw = f", {cell.draw}" if len(group.draws(line)) > 1 else ""
    return f"{group.label(line)} on {cell.backend}{draw}"


def _without_rate(group: Group, regimes: Sequence[str]) -> list[str]:
    return [
        f"{_name(group, record)}, {regime} (not measured)"
        for regime in regimes
        for *_, record in group.ran()
        if not record.value(f"{regime}_images_per_s") > 0
    ]


def _parity_notes(group: Group) -> dict[str, list[str]]:
    """The lines and backends whose rates are of another model than another backend's, or may be."""
    notes: dict[str, list[str]] = {"Parity fails": [], "Parity not measured": []}
    verdicts = group.verdicts or NO_FINDINGS
    for line in group.lines:
        ran = group.ok_records(line)
        for backend in group.backends:
            mark = verdicts.mark(group.machine, group.of(line, backend), ran)
            kind = {MISMATCH: "Parity fails", UNMEASURED: "Parity not measured"}.get(mark)
            if kind and any(record.cell.backend == backend for record in ran):
                notes[kind].append(f"{group.label(line)} on {backend}")
    return notes


def cross_out(axis: Axes, x: float, y: float) -> None:
    """Mark a point whose samples never settled."""
    axis.plot([x], [y], linestyle="", marker="x", color="black", markersize=10, markeredgewidth=1.4, zorder=3)


def footer(figure: Figure, title: str, *notes: str) -> None:
    """The title above, and the notes, each wrapped to the figure's width, below."""
    width = int(figure.get_figwidth() * 15)
    figure.suptitle(plain(title), x=0.01, ha="left", fontweight="bold")
    lines = [plain(line) for note in notes for line in textwrap.wrap(note, width, break_on_hyphens=False)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7, color="#555555")


def plain(text: str) -> str:
    """`text` as matplotlib shows it letter by letter: names come from users.

    Dollar signs would be formulas, control characters boxes, and what begins with `_` would be left out of legends.
    """
    return re.sub("^_", " _", legible(text)).replace("$", r"\$")


def to_png(figure: Figure, source: str = "") -> bytes:
    """The figure as PNG, its bytes depending on the drawing alone and on `source`, which it names; closes the figure.

    Args:
        figure: what was drawn.
        source: digest of what it was drawn from.
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None, SOURCE: source or None})
    plt.close(figure)
    return png.getvalue()


def save(figure: Figure, file: Path) -> None:
    """Write the figure as PNG, whole or not at all, and close it; makes the folder. OSError where it can't."""
    store.replace(file, to_png(figure))
