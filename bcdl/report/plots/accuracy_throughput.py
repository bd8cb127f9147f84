"""Test accuracy against fit rate: every model and backend in one plane."""

import math
from collections.abc import Iterator

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bcdl.evaluation import smoke
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report.plots.axes import legend, log_rate, mark_rate
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import signs


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    ran = [(line, backend, record) for line, backend, record in group.ran() if _has_both(record)]
    if not ran:
        return
    figure, axis = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    for line, backend, record in ran:
        rate, accuracy = record.value("fit_images_per_s"), record.value("test_accuracy")
        axis.plot([rate], [accuracy], linestyle="", alpha=0.9, **signs(group, line, backend))
        mark_rate(axis, rate, accuracy, record, "fit")
    majority = ran[0][2].value("test_majority_accuracy")
    axis.axhline(majority, color="#555555", linewidth=1, linestyle=":")
    axis.annotate("majority class", (0.01, majority), xycoords=("axes fraction", "data"), fontsize=7, va="bottom")
    log_rate(axis, "fit rate")
    axis.set_ylabel("test accuracy (smoke test)" if smoke.note(group.records) else "test accuracy")
    legend(axis, group)
    caption(figure, group, "Test accuracy against fit rate", ["fit"], split="test")
    yield "accuracy_throughput", figure


def _has_both(record: Record) -> bool:
    """Whether it has a place in the plane; an axis of rates without a point can't be logarithmic."""
    return record.value("fit_images_per_s") > 0 and not math.isnan(record.value("test_accuracy"))
