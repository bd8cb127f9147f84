"""The eight orientations of a square: four turns by right angles, each as it is or mirrored."""

from __future__ import annotations

import numpy as np

_ORIENTATIONS = [(turns, mirrored) for mirrored in (False, True) for turns in range(4)]
COUNT = len(_ORIENTATIONS)


def turn(images: np.ndarray, orientation: int) -> np.ndarray:
    """Images [..., S, S] in one of the eight orientations, 0 to 7; 0 leaves them as they are."""
    turns, mirrored = _ORIENTATIONS[orientation]
    return np.rot90(images[..., ::-1] if mirrored else images, turns, axes=(-2, -1))
