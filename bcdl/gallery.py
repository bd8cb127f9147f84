"""Grids of a data set's benign and malignant images, as the source study drew them: 5 by 4 of each."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bcdl.datasets import LABELS, Dataset
from bcdl.plots import style

COLUMNS, ROWS = 5, 4
LOCAL = "local"  # under the results folder; ignored by git, since pixels of a data set are never committed


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
    figure.suptitle(f"{dataset.name}: {kind} ({origin})", fontsize=11)
    return figure


def draw_local(dataset: Dataset, results: Path) -> None:
    """Both grids of a real data set under `results/local/`, outside what is committed."""
    folder = results / LOCAL / dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    for kind in LABELS:
        style.save(grid(dataset, kind), folder / f"{kind}.png")
