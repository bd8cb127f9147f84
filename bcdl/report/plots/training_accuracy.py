"""Training accuracy by epoch, over all models: what the source study compared first."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from bcdl.records.groups import Group
from bcdl.report.plots.epochs import epoch_panels


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    figure = epoch_panels(group, "accuracy", "Training accuracy by epoch", "accuracy (training mode, augmented)")
    if figure:
        yield "training_accuracy", figure
