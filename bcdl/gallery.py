"""Grids of a data set's benign and malignant images, as the source study drew them: 5 by 4 of each."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bcdl.datasets import LABELS, Dataset

COLUMNS, ROWS = 5, 4
LOCAL = "local"  # under the results folder; ignored by git, since pixels of a data set are never committed


def grid(dataset: Dataset, kind: str) -> Figure:
    """The first 20 training images of class `kind`, titled with where they come from."""
    chosen = [i for i, label in enumerate(dataset.train.labels) if label == LABELS[kind]][: COLUMNS * ROWS]
    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(1.5 * COLUMNS, 1.5 * ROWS + 0.5), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, index in zip(axes.flat, chosen, strict=False):
        axis.imshow(dataset.train.images[index])
    origin = "synthetic drawings, no medical images" if dataset.synthetic else "training images"
    figure.suptitle(f"{dataset.name}: {kind} ({origin})", fontsize=11)
    return figure


def draw_local(dataset: Dataset, results: Path) -> None:
    """Both grids of a real data set under `results/local/`, outside what is committed."""
    folder = results / LOCAL / dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    for kind in LABELS:
        figure = grid(dataset, kind)
        figure.savefig(folder / f"{kind}.png", dpi=100)
        plt.close(figure)
