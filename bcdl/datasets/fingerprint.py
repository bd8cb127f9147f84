"""The look of an image: small and grey, at one size for every cell, by which copies of it are found."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from PIL import Image

RULES = 1  # raise when `look` changes, so that old cache entries are not used
SIDE = 128
# `sha256` of the pixels as they are; `side`, the shorter one of the picture within its margins, pixels; `grey`, that
# picture scaled to a square.
LOOK = np.dtype([("sha256", "V32"), ("side", np.int32), ("grey", np.uint8, (SIDE, SIDE))])
# A row or column at the edge that spans fewer grey levels is margin: JPEG of quality 75 leaves fewer beside a picture.
_MARGIN_LEVELS = 24


@dataclasses.dataclass(frozen=True)
class Looks:
    """What a source has, before anything of it is dropped.

    Attributes:
        images: [N] of dtype `LOOK`.
        names: [N] str, as in the `Pool`.
        labels: [N], of any kind that can be told apart.
    """

    images: np.ndarray
    names: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, names: np.ndarray, labels: np.ndarray) -> Looks:
        """Of images [N, H, W, 3] uint8."""
        return cls(np.stack([look(Image.fromarray(image)) for image in images]), names, labels)


def look(image: Image.Image) -> np.ndarray:
    """The look of an RGB image, as an array of no dimensions and dtype `LOOK`."""
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()
    picture = _without_margins(image.convert("L"))
    scaled = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.array((digest, min(picture.size), scaled), dtype=LOOK)


def _without_margins(grey: Image.Image) -> Image.Image:
    """`grey` without the uniform rows and columns at its edges; whole where it has no others."""
    pixels = np.asarray(grey)
    rows, columns = (np.flatnonzero(np.ptp(pixels, axis) >= _MARGIN_LEVELS) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return grey
    return grey.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
