"""The fingerprint of an image, small, grey and of one size for every cell, by which copies are recognised."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from PIL import Image

RULES = 1  # raise when `fingerprint` changes, so that old cache entries are not used
SIDE = 128
# `sha256` of all pixels; `side`, the shorter side of the picture without its margins, pixels; `grey`, that picture,
# scaled to a square.
FINGERPRINT = np.dtype([("sha256", "V32"), ("side", np.int32), ("grey", np.uint8, (SIDE, SIDE))])
# A row or column at the edge is margin if its grey levels span less: JPEG of quality 75 leaves less beside a picture.
_MARGIN_LEVELS = 24


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of all images that a source has, before any is dropped.

    Attributes:
        images: [N] of dtype `FINGERPRINT`.
        names: [N] str, as in the `Pool`.
        labels: [N], of any dtype whose values can be compared.
    """

    images: np.ndarray
    names: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, names: np.ndarray, labels: np.ndarray) -> Fingerprints:
        """Of images [N, H, W, 3] uint8."""
        made = np.empty(len(images), FINGERPRINT)  # filled one by one, so that they are in memory once
        for place, image in enumerate(images):
            made[place] = fingerprint(Image.fromarray(image))
        return cls(made, names, labels)


def fingerprint(image: Image.Image) -> np.ndarray:
    """The fingerprint of an RGB image, as an array of no dimensions and dtype `FINGERPRINT`."""
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()
    picture = _without_margins(image.convert("L"))
    scaled = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.array((digest, min(picture.size), scaled), dtype=FINGERPRINT)


def _without_margins(grey: Image.Image) -> Image.Image:
    """`grey` without the uniform rows and columns at its edges; unchanged if all are uniform."""
    pixels = np.asarray(grey)
    rows, columns = (np.flatnonzero(np.ptp(pixels, axis) >= _MARGIN_LEVELS) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return grey
    return grey.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
