"""Every model and backend under the device's roofline (Williams, Waterman and Patterson, CACM 52(4), 2009, 65-76)."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcdl.evaluation.utilisation import REGIMES, Peaks, peaks, points
from bcdl.records.groups import Group
from bcdl.report.plots.axes import legend, mark_rate, plain_ticks
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import signs

_TITLES = {"step": "training step", "predict": "inference"}


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    limit = peaks(group)
    if limit is None:
        return
    figure, axes = plt.subplots(1, len(REGIMES), figsize=(10.4, 4.2), sharey=True, layout="constrained")
    for axis, regime in zip(axes, REGIMES, strict=True):
        _panel(axis, group, regime, limit)
        axis.set_title(_TITLES[regime], loc="left", fontsize=9)
    axes[0].set_ylabel("the model's GFLOP/s")
    legend(axes[-1], group)
    title = "Roofline: rate of arithmetic against arithmetic a byte (traffic estimated, nothing fused)"
    caption(figure, group, title, REGIMES)
    yield "roofline", figure


def _panel(axis: Axes, group: Group, regime: str, limit: Peaks) -> None:
    places = list(points(group, regime))
    # Without a measured bandwidth there is the flat roof alone.
    bytes_per_s = limit.memory.rate if limit.memory else np.inf
    ridge = [limit.arithmetic.rate / bytes_per_s] if limit.memory else []
    intensities = [*(point.intensity for point in places), *ridge] or [1.0]
    x = np.geomspace(min(intensities) / 2, max(intensities) * 2, 100)
    axis.plot(x, np.minimum(x * bytes_per_s, limit.arithmetic.rate) / 1e9, color="#555555", linewidth=1.4)
    for point in places:
        at = (point.intensity, point.flops_per_s / 1e9)
        axis.plot(*([value] for value in at), linestyle="", **signs(group, point.line, point.backend))
        mark_rate(axis, *at, point.record, regime)
    axis.set_xscale("log")
    axis.set_yscale("log")
    for scale in (axis.xaxis, axis.yaxis):
        plain_ticks(scale)
    axis.set_xlabel("FLOP a byte (log scale)")
