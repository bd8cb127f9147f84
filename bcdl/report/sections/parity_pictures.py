"""Pictures of a comparison: each backend against the float64 reference, and runs drifting apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bcdl.parity.findings import Finding
from bcdl.parity.settings import MOVED_ULPS, STEPS
from bcdl.parity.verdicts import Comparison, title_of
from bcdl.report.plots.style import colour, footer

_PANELS = {
    "outputs": "inference outputs",
    "training_outputs": "training-mode outputs",
    "statistics": "batch norms' averages",
    "frozen_gradient": "gradient,\nbatch norms frozen",
    "gradient": "gradient",
}
_BAND, _DRAW = "#CFCFCF", "#B5B5B5"
_COLUMNS = 4
_LEAST = 1e-9  # where a difference of 0 is drawn: the axis is logarithmic
_PAIR_STYLES: tuple[dict[str, Any], ...] = (
    {"marker": "o", "linestyle": "-"},
    {"marker": "s", "linestyle": "--"},
    {"marker": "^", "linestyle": ":"},
)


def draw(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """The comparison's figures, each with its file name without suffix."""
    if any(finding.reference for finding in comparison.findings):
        yield "parity_reference", _reference(comparison)
    yield "parity_steps", _steps(comparison)


def _reference(comparison: Comparison) -> Figure:
    """Where each backend lies, beside its tolerance."""
    findings = [finding for finding in comparison.findings if finding.reference]
    ulps = MOVED_ULPS[comparison.first.plan["precision"]]
    figure, axes = plt.subplots(
        1, len(_PANELS), figsize=(12, 1.7 + 0.42 * len(findings)), sharey=True, layout="constrained"
    )
    for axis, (quantity, title) in zip(axes, _PANELS.items(), strict=True):
        for row, finding in enumerate(findings):
            high = finding.tolerance[quantity]
            low = high / ulps
            axis.barh(row, high - low, left=max(low, _LEAST), height=0.6, color=_BAND)
            for place, backend in enumerate(sorted(finding.errors)):
                y = row + (place - (len(finding.errors) - 1) / 2) * 0.2
                error = max(finding.errors[backend][quantity], _LEAST)
                axis.plot([error], [y], "o", color=colour(backend), markersize=5)
        axis.set_xscale("log")
        axis.set_title(title, loc="left", fontsize=9)
    axes[0].set_yticks(range(len(findings)), [title_of(finding) for finding in findings])
    axes[0].set_ylim(len(findings) - 0.5, -0.5)
    axes[len(_PANELS) // 2].set_xlabel("relative difference from float64")
    band = Patch(color=_BAND, label=f"tolerance, and 1/{ulps} of it")
    dots = [Line2D([], [], marker="o", linestyle="", color=colour(name), label=name) for name in comparison.backends]
    axes[-1].legend(handles=[*dots, band], loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
    footer(figure, "Each backend against the float64 reference", f"{comparison.title}. Machine: {comparison.machine}.")
    return figure


def _steps(comparison: Comparison) -> Figure:
    """Weights of pairs of backends drifting apart, over those of one backend perturbed by one ulp."""
    rows = -(-len(comparison.findings) // _COLUMNS)
    columns = min(_COLUMNS, len(comparison.findings))
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.7 * columns + 1.6, 2.4 * rows + 0.8), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    styles = dict(zip(comparison.pairs, _PAIR_STYLES, strict=False))
    for axis, finding in zip(axes.flat, comparison.findings, strict=False):
        _drift(axis, finding, styles)
    for axis in list(axes.flat)[len(comparison.findings) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel("distance / way come")
    handles = [Line2D([], [], color="black", label=pair, **style) for pair, style in styles.items()]
    handles.append(Line2D([], [], color=_DRAW, label="one backend, pixels\nmoved by one ulp"))
    axes[0][-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
    footer(figure, "Weights drifting apart over steps of SGD", f"{comparison.title}. Machine: {comparison.machine}.")
    return figure


def _drift(axis: Axes, finding: Finding, styles: dict[str, dict[str, Any]]) -> None:
    for run in finding.chaos.get("draws", []):
        axis.plot(STEPS, [max(run["weights"][str(step)], _LEAST) for step in STEPS], color=_DRAW, linewidth=1)
    for pair, style in styles.items():
        if pair in finding.pairs:
            distances = [max(finding.pairs[pair]["steps"][str(step)]["weights"], _LEAST) for step in STEPS]
            axis.plot(STEPS, distances, color="black", markersize=4, linewidth=1.1, **style)
    axis.set_yscale("log")
    axis.set_xscale("log")
    axis.set_xticks(STEPS, [str(step) for step in STEPS])
    axis.minorticks_off()
    axis.set_xlabel("step")
    axis.set_title(title_of(finding), loc="left", fontsize=9)
