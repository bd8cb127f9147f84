"""What stands at the axes of a plot: scales, ticks, labels of lines, the legend and crosses."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.report.plots.style import colour, folded, plain, signs
from bcdl.statistics import doubts
from bcdl.statistics.steadiness import is_unstable

_LABEL_WIDTH = 30  # letters


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
    """Ticks of a logarithmic axis at 1, 2, 5, 10 ..., written out: 1,000,000, not 1e+06."""
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: formats.written_out(value)))
    axis.set_minor_formatter(NullFormatter())


def whole_epochs(axis: Axes) -> None:
    """Ticks of the x axis at whole epochs."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def legend(axis: Axes, group: Group) -> None:
    """Markers name models, colours name backends; outside the plot, at its right."""
    handles = [_model_sign(group, line) for line in group.lines]
    handles += [Line2D([], [], linewidth=4, color=colour(name), label=plain(name)) for name in group.backends]
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)


def cross_out(axis: Axes, x: float, y: float) -> None:
    """Mark a point whose samples never settled."""
    axis.plot([x], [y], linestyle="", marker="x", color="black", markersize=10, markeredgewidth=1.4, zorder=3)


def mark_doubt(axis: Axes, x: float, y: float) -> None:
    """Mark a point whose rate is doubtful."""
    axis.annotate(doubts.MARK, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=10, fontweight="bold")


def mark_rate(axis: Axes, x: float, y: float, record: Record, regime: str) -> None:
    """Mark the point of the record's rate in the regime if it never settled, and if it is doubtful."""
    if is_unstable(record, f"{regime}_s"):
        cross_out(axis, x, y)
    if doubts.beside_unsteady(record, regime):
        mark_doubt(axis, x, y)


def _model_sign(group: Group, line: Line) -> Line2D:
    """A legend's entry for a model: its marker, in black."""
    sign = signs(group, line, "")
    face = "white" if sign["markerfacecolor"] == "white" else "black"
    label = folded(group.label(line), _LABEL_WIDTH)
    return Line2D([], [], linestyle="", **{**sign, "color": "black", "markerfacecolor": face}, label=label)
