"""Augmentation on the host, in uint8, so that every backend trains on the same bytes.

Parameters are NumPy's draws and the warp is OpenCV's. The source study asked for a random zoom "of range 2", that is by
factors from -1 to 3: mirrored and vanishing images, a fault. Here the zoom stays within 20 percent, unless a cell asks
for that fault to see what it does (`zoom_range`).

OpenCV 5.0.0 warps four channels faster than three, to the same bytes, so that an image gets a fourth one on the way.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from bcdl.settings.cell import ZOOM

ROTATION_DEGREES = 90.0
# Draws that an image takes: of its angle, its zoom, and its flips along x and along y.
DRAWS = 4

cv2.setNumThreads(1)  # the input pipeline has threads of its own


def augment(images: Iterable[np.ndarray], draws: np.ndarray, out: np.ndarray, zoom_range: float = ZOOM) -> None:
    """Write the images, rotated by up to 90 degrees either way, zoomed and flipped, into `out`.

    Whatever lies outside the image shows it mirrored at its edge, never black.

    Args:
        images: N of them, [S, S, 3] uint8; they may be read-only.
        draws: [N, DRAWS] float64, uniform in [0, 1).
        out: [N, S, S, 3] uint8.
        zoom_range: zooms are by factors from 1 - zoom_range to 1 + zoom_range; a negative one turns the image round.
    """
    size = out.shape[1]
    scratch = scratch_for(size)
    for image, matrix, place in zip(images, matrices(draws, size, zoom_range), out, strict=True):
        warp(image, matrix, place, scratch)


def matrices(draws: np.ndarray, size: int, zoom_range: float = ZOOM) -> np.ndarray:
    """[N, 2, 3] float64: where the warps that follow from `draws`, [N, DRAWS], take a pixel (x, y, 1)."""
    angles = -ROTATION_DEGREES + 2 * ROTATION_DEGREES * draws[:, 0]
    zooms = (1 - zoom_range) + ((1 + zoom_range) - (1 - zoom_range)) * draws[:, 1]
    centre = ((size - 1) / 2, (size - 1) / 2)
    turned = [cv2.getRotationMatrix2D(centre, *pair) for pair in zip(angles.tolist(), zooms.tolist(), strict=True)]
    moved = np.array(turned)
    flipped = draws[:, 2:] < 0.5
    moved[flipped] *= -1  # x' = (size - 1) - x
    moved[flipped, 2] += size - 1
    return moved


# Memory for an image and its warp, with four channels: [S, S, 4] uint8 each.
Scratch = tuple[np.ndarray, np.ndarray]


def scratch_for(size: int) -> Scratch:
    """Scratch for images of that size, for one thread."""
    return np.empty((size, size, 4), np.uint8), np.empty((size, size, 4), np.uint8)


def warp(image: np.ndarray, matrix: np.ndarray, out: np.ndarray, scratch: Scratch) -> None:
    """Write `image` [S, S, 3] uint8, warped by `matrix` [2, 3], into `out`, which has its shape."""
    source, target = scratch
    cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, dst=source)
    cv2.warpAffine(source, matrix, out.shape[:2], dst=target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    cv2.cvtColor(target, cv2.COLOR_RGBA2RGB, dst=out)
