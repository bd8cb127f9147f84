"""Images per second by model and backend, in the fit and the step regime, with the spread of the samples."""

import statistics
from collections.abc import Iterator

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report.plots.axes import log_rate, mark_rate
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import colour, plain, signs

_REGIMES = {"fit": "fit: what a user of model.fit gets", "step": "step: the batch already on the device"}
_SPREAD = 0.22  # of a row's height, between backends


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    if not any(record.samples for _, _, record in group.ran()):
        return
    figure, axes = plt.subplots(
        1, len(_REGIMES), figsize=(9.6, 1.6 + 0.55 * len(group.lines)), sharey=True, layout="constrained"
    )
    for axis, (regime, title) in zip(axes, _REGIMES.items(), strict=True):
        _panel(axis, group, regime)
        axis.set_title(title, loc="left", fontsize=9)
    axes[0].set_yticks(range(len(group.lines)), [plain(group.label(line)) for line in group.lines])
    axes[0].set_ylim(len(group.lines) - 0.5, -0.5)
    handles = [Line2D([], [], marker="o", color=colour(name), label=plain(name)) for name in group.backends]
    axes[-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    title = "Images per second by model and backend (median; line: slowest to fastest sample)"
    caption(figure, group, title, list(_REGIMES))
    yield "throughput", figure


def _panel(axis: Axes, group: Group, regime: str) -> None:
    middle = (len(group.backends) - 1) / 2
    for line, backend, record in group.ran():
        rate = record.value(f"{regime}_images_per_s")
        if not record.samples.get(f"{regime}_s") or not rate > 0:
            continue
        y = group.lines.index(line) + (group.backends.index(backend) - middle) * _SPREAD
        axis.hlines(y, *_range(record, regime), color=colour(backend), linewidth=1.5)
        axis.plot([rate], [y], linestyle="", **signs(group, line, backend))
        mark_rate(axis, rate, y, record, regime)
    log_rate(axis, "rate")


def _range(record: Record, regime: str) -> tuple[float, float]:
    """Slowest and fastest sample, images/s."""
    samples = record.samples[f"{regime}_s"]
    images = record.value(f"{regime}_images_per_s") * statistics.median(samples)
    return images / max(samples), images / min(samples)
