"""A grid of benign and one of malignant images, as the source study drew; committed for synthetic data only."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from bcdl import datasets, gallery
from bcdl.tables import Group


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    if not group.synthetic:
        return  # pixels of a data set are never committed; a run draws them under results/local/
    cell = group.first.cell
    dataset = datasets.load(datasets.Request(cell.data, cell.image_size, cell.split_seed))
    for kind in datasets.LABELS:
        yield f"images_{kind}", gallery.grid(dataset, kind)
