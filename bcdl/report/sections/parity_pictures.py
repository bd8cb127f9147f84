"""Pictures of a parity group: each backend against the float64 reference, and runs drifting apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bcdl.parity.findings import Finding, Number
from bcdl.parity.settings import MOVED_ULPS, STEPS
from bcdl.parity.verdicts import ParityGroup, title_of
from bcdl.report.plots.style import colour, footer, plain

# What each figure shows, for those who can't see it.
SHOWS = {
    "parity_reference": "How far each backend lies from the float64 reference, beside the tolerance of each model",
    "parity_steps": "How far the weights of two backends drift apart over steps of training, for each model",
}
_PANELS = {
    "outputs": "inference outputs",
    "training_outputs": "training-mode outputs",
    "statistics": "batch norms' averages",
    "frozen_gradient": "gradient,\nbatch norms frozen",
    "gradient": "gradient",
}
_BAND, _DRAW = "#CFCFCF", "#B5B5B5"
_COLUMNS = 4
# The differences that are drawn: the axis is logarithmic, so that 0 has no place on it.
_LEAST, _MOST = 1e-9, 1e9
_PAIR_STYLES: tuple[dict[str, Any], ...] = (
    {"marker": "o", "linestyle": "-"},
    {"marker": "s", "linestyle": "--"},
    {"marker": "^", "linestyle": ":"},
    {"marker": "D", "linestyle": "-."},
    {"marker": "v", "linestyle": (0, (5, 1))},
    {"marker": "P", "linestyle": (0, (1, 1))},
)


def draw(group: ParityGroup) -> Iterator[tuple[str, Figure]]:
    """The group's figures, each with the name of its file without suffix."""
    if any(finding.reference for finding in group.findings):
        yield "parity_reference", _reference(group)
    yield "parity_steps", _steps(group)


def _reference(group: ParityGroup) -> Figure:
    """Where each backend lies, beside its tolerance."""
    findings = [finding for finding in group.findings if finding.reference]
    ulps = MOVED_ULPS[group.first.plan.precision]
    figure, axes = plt.subplots(
        1, len(_PANELS), figsize=(12, 1.7 + 0.42 * len(findings)), sharey=True, layout="constrained"
    )
    for axis, (quantity, title) in zip(axes, _PANELS.items(), strict=True):
        for row, finding in enumerate(findings):
            high = _drawn(finding.tolerance.get(quantity))
            low = _drawn(high / ulps)
            axis.barh(row, high - low, left=low, height=0.6, color=_BAND)
            for place, backend in enumerate(sorted(finding.errors)):
                y = row + (place - (len(finding.errors) - 1) / 2) * 0.2
                error = _drawn(finding.errors[backend].get(quantity))
                axis.plot([error], [y], "o", color=colour(backend), markersize=5)
        axis.set_xscale("log")
        axis.set_title(title, loc="left", fontsize=9)
    axes[0].set_yticks(range(len(findings)), [plain(title_of(finding)) for finding in findings])
    axes[0].set_ylim(len(findings) - 0.5, -0.5)
    axes[len(_PANELS) // 2].set_xlabel("relative difference from float64")
    band = Patch(color=_BAND, label=f"tolerance, and 1/{ulps} of it")
    dots = [Line2D([], [], marker="o", linestyle="", color=colour(name), label=plain(name)) for name in group.backends]
    axes[-1].legend(handles=[*dots, band], loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
    notes = [f"Not shown, not finite: {'; '.join(missing)}."] if (missing := _not_finite(findings)) else []
    footer(figure, "Each backend against the float64 reference", f"{group.title}. Machine: {group.machine}.", *notes)
    return figure


def _not_finite(findings: Sequence[Finding]) -> list[str]:
    """The errors that have no place on the axis, in words."""
    return [
        f"{title_of(finding)} on {backend}, {quantity.replace('_', ' ')}"
        for finding in findings
        for backend, errors in sorted(finding.errors.items())
        for quantity in _PANELS
        if errors.get(quantity, 0.0) is None
    ]


def _drawn(difference: Number) -> float:
    """The place of a difference on the axis; NaN, which is not drawn, for one that is unknown or not finite."""
    return math.nan if difference is None else min(max(difference, _LEAST), _MOST)


def _steps(group: ParityGroup) -> Figure:
    """Weights of pairs of backends drifting apart, over those of one backend perturbed by one ulp."""
    rows = -(-len(group.findings) // _COLUMNS)
    columns = min(_COLUMNS, len(group.findings))
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.7 * columns + 1.6, 2.4 * rows + 0.8), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    styles = dict(zip(group.pairs, itertools.cycle(_PAIR_STYLES), strict=False))
    for axis, finding in zip(axes.flat, group.findings, strict=False):
        _drift(axis, finding, styles)
    for axis in list(axes.flat)[len(group.findings) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel("distance / way come")
    handles = [Line2D([], [], color="black", label=plain(pair), **style) for pair, style in styles.items()]
    handles.append(Line2D([], [], color=_DRAW, label="one backend, pixels\nmoved by one ulp"))
    axes[0][-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
    footer(figure, "Weights drifting apart over steps of SGD", f"{group.title}. Machine: {group.machine}.")
    return figure


def _drift(axis: Axes, finding: Finding, styles: dict[str, dict[str, Any]]) -> None:
    for run in finding.chaos["draws"]:
        axis.plot(STEPS, [_drawn(run["weights"].get(str(step))) for step in STEPS], color=_DRAW, linewidth=1)
    for pair, style in styles.items():
        if pair in finding.pairs:
            distances = [finding.distance(pair, step) for step in STEPS]
            drawn = [_drawn(distance["weights"] if distance else None) for distance in distances]
            axis.plot(STEPS, drawn, color="black", markersize=4, linewidth=1.1, **style)
    axis.set_yscale("log")
    axis.set_xscale("log")
    axis.set_xticks(STEPS, [str(step) for step in STEPS])
    axis.tick_params(labelbottom=True)  # of all: the last row may be shorter
    axis.minorticks_off()
    axis.set_xlabel("step")
    axis.set_title(plain(title_of(finding)), loc="left", fontsize=9)
