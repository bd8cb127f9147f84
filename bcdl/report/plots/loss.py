"""Training loss by epoch, over all models."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from bcdl.records.groups import Group
from bcdl.report.plots.epochs import epoch_panels


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    figure = epoch_panels(group, "loss", "Training loss by epoch", "binary cross-entropy (nats)")
    if figure:
        yield "loss", figure
