"""What all plots share: signs for backends and models, the frame of a figure, and how it is saved."""

from __future__ import annotations

import io
import re
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bcdl import backends
from bcdl.records import disk
from bcdl.records.groups import Group, Line
from bcdl.report.artefacts import DRAWN_BY, SOURCE
from bcdl.settings.models import MODELS
from bcdl.text import legible

# Hues after Okabe and Ito 2008, so dark that each has a contrast of 3:1 on white, as WCAG 2.2 asks of marks. The first
# three are apart for the colour-blind, too; in grey print all are alike.
PALETTE = ("#0067a5", "#b35c00", "#8b1a5c", "#00795a", "#5a55c9", "#c23b00")
_UNKNOWN = "#777777"
_DPI = 120
_MOST_NOTES = 2  # lines below a plot
plt.rcParams.update(
    {
        "figure.dpi": _DPI,
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
    return PALETTE[backends.NAMES.index(backend) % len(PALETTE)]


def marker(model: str) -> str:
    """The model's marker, as matplotlib names it."""
    return MODELS[model].marker if model in MODELS else "*"


def signs(group: Group, line: Line, backend: str) -> dict[str, Any]:
    """Keyword arguments of a line or point: a marker is hollow for a random start if there is a pretrained one, too."""
    hollow = line.weights == "none" and any(other.model == line.model and other != line for other in group.lines)
    face = "white" if hollow else colour(backend)
    return {"color": colour(backend), "marker": marker(line.model), "markerfacecolor": face, "markersize": 6}


def footer(figure: Figure, title: str, *notes: str) -> None:
    """The title above, and the notes below, wrapped to the figure's width: two lines of these at most.

    What does not fit stands on the page, in the tables.
    """
    width = int(figure.get_figwidth() * 15)
    heading = textwrap.wrap(title, int(figure.get_figwidth() * 11), break_on_hyphens=False)
    figure.suptitle("\n".join(map(plain, heading)), x=0.01, ha="left", fontweight="bold")
    lines = textwrap.wrap(
        " ".join(notes), width, break_on_hyphens=False, max_lines=_MOST_NOTES, placeholder=" ... (more on the page)"
    )
    figure.supxlabel("\n".join(map(plain, lines)), x=0.01, ha="left", fontsize=7, color="#555555")


def plain(text: str) -> str:
    """`text` as matplotlib shows it letter by letter: names come from users.

    Dollar signs would be formulas, control characters boxes, and what begins with `_` would be left out of legends.
    """
    return re.sub("^_", " _", legible(text)).replace("$", r"\$")


def folded(text: str, width: int) -> str:
    """As `plain`, in lines of so many letters at most: a long label leaves no room for its plot."""
    return "\n".join(map(plain, textwrap.wrap(text, width)))


def to_png(figure: Figure, source: str = "", drawn_by: str = "") -> bytes:
    """The figure as PNG, its bytes depending on the drawing alone and on what it names; closes the figure.

    Args:
        figure: what was drawn.
        source: digest of what it was drawn from; it is named.
        drawn_by: the command that drew it, if it is named.
    """
    png = io.BytesIO()
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)  # once: left to `savefig`, it would draw everything twice
        figure.set_layout_engine(None)
    named = {"Software": None, SOURCE: source or None, DRAWN_BY: drawn_by or None}
    figure.savefig(png, format="png", metadata=named)
    plt.close(figure)
    return png.getvalue()


def save(figure: Figure, file: Path, drawn_by: str = "") -> None:
    """Write the figure as PNG, whole or not at all, and close it; makes the folder. OSError if it can't."""
    disk.replace(file, to_png(figure, drawn_by=drawn_by))
