"""Augmentation keeps its promises: the right range, and the bytes of the plain warp of three channels."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bcdl.worker.augmentation import DRAWS, augment

DRAW = st.floats(0, 1, exclude_max=True)
STILL = (0.5, 0.5)  # draws of no rotation and no zoom


def augmented(images: np.ndarray, draws: list[tuple[float, ...]]) -> np.ndarray:
    out = np.full_like(images, 77)
    augment(images, np.array(draws), out)
    return out


def plainly(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The definition: draws of a generator of its own, one after another, and a warp of three channels."""
    angle = generator.uniform(-90, 90)
    zoom = generator.uniform(0.8, 1.2)
    mirror = generator.random(2) < 0.5
    size = image.shape[0]
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, zoom)
    for axis in np.flatnonzero(mirror):
        matrix[axis] *= -1
        matrix[axis, 2] += size - 1
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 33, 64, 96]), st.integers(1, 4))
def test_the_bytes_are_those_of_the_plain_warp(seed: int, size: int, count: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    images.flags.writeable = False
    draws = [tuple(np.random.default_rng([seed, index]).random(DRAWS)) for index in range(count)]
    wanted = [plainly(image, np.random.default_rng([seed, index])) for index, image in enumerate(images)]
    np.testing.assert_array_equal(augmented(images, draws), wanted)


@given(st.tuples(DRAW, DRAW, DRAW, DRAW))
def test_a_plain_image_stays_plain(draws: tuple[float, ...]) -> None:
    images = np.full((1, 32, 32, 3), (10, 120, 250), np.uint8)
    np.testing.assert_array_equal(augmented(images, [draws]), images)


def test_flips_are_exact() -> None:
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    flips = {(0.9, 0.9): image, (0.4, 0.9): image[:, ::-1], (0.9, 0.4): image[::-1], (0.4, 0.4): image[::-1, ::-1]}
    made = augmented(np.stack([image] * len(flips)), [(*STILL, *flip) for flip in flips])
    np.testing.assert_array_equal(made, list(flips.values()))


def test_opencv_runs_on_the_input_pipelines_threads_alone() -> None:
    assert cv2.getNumThreads() == 1
