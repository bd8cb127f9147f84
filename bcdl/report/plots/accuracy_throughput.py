"""Test accuracy with its 95% interval against fit rate: every model and backend in one plane.

So few test images that their accuracy is chance have no place in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bcdl.evaluation import estimates, metrics
from bcdl.records.groups import Group
from bcdl.report.plots.axes import legend, log_rate, mark_rate
from bcdl.report.plots.captions import caption
from bcdl.report.plots.style import signs

_ACCURACY = metrics.BY_NAME["accuracy"]


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    # An axis of rates without a point can't be logarithmic.
    timed = {(line, backend): record for line, backend, record in group.ran() if record.value("fit_images_per_s") > 0}
    results = [
        result for result in (estimates.worth_drawing(group) if timed else []) if (result.line, result.backend) in timed
    ]
    if not results:
        return
    figure, axis = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    for result in results:
        record, accuracy = timed[result.line, result.backend], result.estimates[_ACCURACY.name]
        rate, sign = record.value("fit_images_per_s"), signs(group, result.line, result.backend)
        axis.vlines(rate, accuracy.low, accuracy.high, color=sign["color"], linewidth=1.2)
        axis.plot([rate], [accuracy.value], linestyle="", alpha=0.9, **sign)
        mark_rate(axis, rate, accuracy.value, record, "fit")
    majority = results[0].reference[_ACCURACY.name]
    axis.axhline(majority, color="#555555", linewidth=1, linestyle=":")
    axis.annotate("majority class", (0.01, majority), xycoords=("axes fraction", "data"), fontsize=7, va="bottom")
    log_rate(axis, "fit rate")
    axis.set_ylabel("test accuracy")
    legend(axis, group)
    caption(figure, group, "Test accuracy against fit rate, with 95% intervals", ["fit"], split="test")
    yield "accuracy_throughput", figure
