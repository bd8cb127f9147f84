"""A grid of benign images and a grid of malignant ones, 5 by 4 as in the source study.

Only synthetic data is drawn so, since a report is committed: a run draws other data for itself (`runner.data_picture`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bcdl import datasets
from bcdl.datasets import LABELS, Dataset
from bcdl.datasets.sources import synthetic
from bcdl.errors import UsageError
from bcdl.records.groups import Group
from bcdl.report.plots import style
from bcdl.settings.cell import Cell

COLUMNS, ROWS = 5, 4
# All images of a set must be drawn to know that they are the records' own, and each takes some milliseconds.
_MOST_IMAGES = 500
_MOST_PIXELS = 20_000_000


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    if not group.synthetic:
        return
    cell = group.first.cell
    if not _may_be_drawn(cell):
        return
    try:
        dataset = datasets.load(datasets.Request(cell.data, cell.image_size, cell.split_seed))
    except (UsageError, ValueError):
        return  # This version makes no such data set.
    if dataset.checksum != group.checksum:
        return  # An earlier version made other drawings: no picture is better than a picture of these.
    for kind in LABELS:
        yield f"images_{kind}", grid(dataset, kind)


def _may_be_drawn(cell: Cell) -> bool:
    """Whether the data set is synthetic and small enough: records may come from anywhere, and name anything."""
    count = synthetic.count_of(cell.data)
    return count is not None and count <= _MOST_IMAGES and count * cell.image_size**2 <= _MOST_PIXELS


def grid(dataset: Dataset, kind: str) -> Figure:
    """Up to 20 images of class `kind`, from all splits, titled with what they are."""
    parts = dataset.splits.values()
    images = np.concatenate([part.images[part.labels == LABELS[kind]][: COLUMNS * ROWS] for part in parts])
    images = images[: COLUMNS * ROWS]
    rows = math.ceil(len(images) / COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(1.5 * COLUMNS, 1.5 * rows + 0.5), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image in zip(axes.flat, images, strict=False):
        axis.imshow(image)
    origin = "synthetic drawings, no medical images" if dataset.synthetic else "images of all splits"
    figure.suptitle(style.plain(f"{dataset.name}: {kind} ({origin})"), fontsize=11)
    return figure
