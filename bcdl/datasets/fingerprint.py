"""The fingerprint of an image, small, grey and of one size for every cell, by which copies are recognised."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from bcdl.datasets.mapped import release

RULES = 2  # raise when `fingerprint` changes, so that old cache entries are not used
SIDE = 128
# `sha256` of all pixels; `side`, the shorter side of the picture without its margins, pixels; `level`, the grey level
# of that picture if it has but one, else -1.
MARKS = np.dtype([("sha256", "V32"), ("side", np.int32), ("level", np.int16)])
# `grey`, that picture, scaled to a square.
FINGERPRINT = np.dtype([*((name, MARKS[name]) for name in MARKS.names or ()), ("grey", np.uint8, (SIDE, SIDE))])
# A row or column at the edge is margin if its grey levels span less: JPEG of quality 75 leaves less beside a picture.
_MARGIN_LEVELS = 24
_AT_ONCE = 512  # fingerprints, whose pages of a mapped file are given back together


class Fingerprinted(NamedTuple):
    """The fingerprints of images. Most of what is asked of them their marks alone tell, in a fraction of the memory.

    Attributes:
        marks: [N] of dtype `MARKS`.
        greys: reads [N, SIDE, SIDE] uint8, which may lie in a file that is mapped to memory.
        made_of: the key of the cache that stands for all that they were made of; empty if there is none.
    """

    marks: np.ndarray
    greys: Callable[[], np.ndarray]
    made_of: str = ""

    @classmethod
    def of(cls, fingerprints: np.ndarray, made_of: str = "") -> Fingerprinted:
        """Of fingerprints [N] of dtype `FINGERPRINT`."""
        marks = np.empty(len(fingerprints), MARKS)
        for start in range(0, len(marks), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            for name in MARKS.names or ():
                marks[name][some] = fingerprints[name][some]
            release(fingerprints)
        return cls(marks, lambda: fingerprints["grey"], made_of)


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of all images that a source has, before any is dropped.

    Attributes:
        images: the fingerprints of N images.
        names: [N] str, as in the `Pool`.
        labels: [N], of any dtype whose values can be compared.
    """

    images: Fingerprinted
    names: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, names: np.ndarray, labels: np.ndarray) -> Fingerprints:
        """Of images [N, H, W, 3] uint8."""
        made = np.empty(len(images), FINGERPRINT)  # filled one by one, so that they are in memory once
        for place, image in enumerate(images):
            made[place] = fingerprint(Image.fromarray(image))
        return cls(Fingerprinted.of(made), names, labels)


def fingerprint(image: Image.Image) -> np.ndarray:
    """The fingerprint of an RGB image, as an array of no dimensions and dtype `FINGERPRINT`."""
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()
    picture = _without_margins(image.convert("L"))
    scaled = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    level = int(scaled[0, 0])
    is_one = not (scaled != level).any()
    return np.array((digest, min(picture.size), level if is_one else -1, scaled), dtype=FINGERPRINT)


def _without_margins(grey: Image.Image) -> Image.Image:
    """`grey` without the uniform rows and columns at its edges; unchanged if all are uniform."""
    pixels = np.asarray(grey)
    rows, columns = (np.flatnonzero(np.ptp(pixels, axis) >= _MARGIN_LEVELS) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return grey
    return grey.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
