"""Augmentation on the host, in uint8, so that every backend trains on the same bytes.

Parameters are drawn by NumPy and the warp is OpenCV's. The source study asked for a random zoom "of
range 2", which reaches negative zooms, that is mirrored and vanishing images: a fault. Here the zoom
stays within 20 percent.
"""

from __future__ import annotations

import cv2
import numpy as np

ROTATION_DEGREES = 90.0
ZOOM = 0.2

cv2.setNumThreads(1)  # the input pipeline has threads of its own


def augment(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """`image` [S, S, 3] uint8 rotated by up to 90 degrees either way, zoomed by up to 20 percent, and flipped.

    Corners that the rotation uncovers show the image mirrored at its edge, never black.
    """
    angle = generator.uniform(-ROTATION_DEGREES, ROTATION_DEGREES)
    zoom = generator.uniform(1 - ZOOM, 1 + ZOOM)
    mirror = generator.random(2) < 0.5
    size = image.shape[0]
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), angle, zoom)
    for axis in np.flatnonzero(mirror):  # x' = (size - 1) - x
        matrix[axis] *= -1
        matrix[axis, 2] += size - 1
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
