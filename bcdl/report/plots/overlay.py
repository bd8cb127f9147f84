"""An image under the heat map that explains a model's score.

`bcdl predict` writes it to the file that its user names; nothing commits it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bcdl.errors import UsageError
from bcdl.report import formats
from bcdl.report.artefacts import OVERLAY
from bcdl.report.plots import style
from bcdl.text import legible

# Perceptually uniform; parts without evidence are dark.
_COLOURS = "inferno"
_OPACITY = 0.5
_LONGEST_NAME = 60


class Explanation(Protocol):
    """What the heat map shows, as `bcdl.worker.grad_cam` computes it.

    Attributes:
        kind: the class explained, `benign` or `malignant`.
        score: the image's malignant score.
        layer: whose map the heat map is made of.
        heat: [h, w] float64, by the map's cells; 0 or more.
    """

    @property
    def kind(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def layer(self) -> str: ...
    @property
    def heat(self) -> np.ndarray: ...


def overlay(picture: np.ndarray, explanation: Explanation, image: str, model: str) -> Figure:
    """`picture` [H, W, 3] uint8 as it is, and under its heat map; `image` and `model` are the names of their files."""
    heat = explanation.heat
    most = heat.max()
    figure, (plain, covered) = plt.subplots(1, 2, figsize=(8.2, 4.4), layout="constrained")
    height, width = picture.shape[:2]
    # In grey under the heat map, so that every hue is the heat's.
    for axis, shade in ((plain, picture), (covered, picture.mean(axis=2))):
        axis.imshow(shade, extent=(0, width, height, 0), cmap="gray", vmin=0, vmax=255)
        axis.set_axis_off()
    shown = covered.imshow(
        heat / most if most else heat,
        extent=(0, width, height, 0),
        interpolation="bilinear",
        cmap=_COLOURS,
        alpha=_OPACITY,
        vmin=0,
        vmax=1,
    )
    plain.set_title("image", loc="left")
    covered.set_title(f"evidence for {explanation.kind}", loc="left")
    figure.colorbar(shown, ax=covered, shrink=0.8, label="evidence (strongest here = 1)")
    style.footer(
        figure,
        f"Grad-CAM for {explanation.kind}: malignant score {formats.fixed(explanation.score, 3)}",
        f"Image: {legible(image, _LONGEST_NAME)}. Model: {legible(model, _LONGEST_NAME)}. Map of layer "
        f"{legible(explanation.layer, _LONGEST_NAME)}, {heat.shape[0]}x{heat.shape[1]} cells. {_reading(explanation)}",
        "Not for clinical use.",
    )
    return figure


def _reading(explanation: Explanation) -> str:
    """A sentence that says how to read the map."""
    if not explanation.heat.max():
        return f"No cell speaks for {explanation.kind}."
    return "A cell sees beyond itself, and colours of two images can't be compared."


def save(figure: Figure, file: Path) -> None:
    """Write the figure as PNG, whole or not at all; UsageError if it can't be written."""
    try:
        style.save(figure, file, OVERLAY)
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be written ({error.strerror}); choose another with --output") from error
