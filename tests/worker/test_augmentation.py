"""Augmentation keeps its promises: the right range, and the bytes of the plain warp of three channels."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bcdl.worker.augmentation import DRAWS, augment

DRAW = st.floats(0, 1, exclude_max=True)
STILL = (0.5, 0.5)  # draws of no rotation and no zoom


def augmented(images: np.ndarray, draws: list[tuple[float, ...]], zoom_range: float = 0.2) -> np.ndarray:
    out = np.full_like(images, 77)
    augment(images, np.array(draws), out, zoom_range)
    return out


def plainly(image: np.ndarray, generator: np.random.Generator, zoom_range: float) -> np.ndarray:
    """The definition: draws of a generator of its own, one after another, and a warp of three channels."""
    angle = generator.uniform(-90, 90)
    zoom = generator.uniform(1 - zoom_range, 1 + zoom_range)
    mirror = generator.random(2) < 0.5
    size = image.shape[0]
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, zoom)
    for axis in np.flatnonzero(mirror):
        matrix[axis] *= -1
        matrix[axis, 2] += size - 1
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 33, 64, 96]), st.integers(1, 4), st.sampled_from([0.2, 0, 2]))
def test_the_bytes_are_those_of_the_plain_warp(seed: int, size: int, count: int, zoom_range: float) -> None:
    images = np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    images.flags.writeable = False
    draws = [tuple(np.random.default_rng([seed, index]).random(DRAWS)) for index in range(count)]
    wanted = [plainly(image, np.random.default_rng([seed, place]), zoom_range) for place, image in enumerate(images)]
    np.testing.assert_array_equal(augmented(images, draws, zoom_range), wanted)


def test_a_zoom_range_of_two_mirrors_images_and_makes_them_vanish_as_in_the_source_study() -> None:
    """Factors from -1 to 3: at -1 the image stands on its head, near 0 all that is left are copies of a few pixels."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16, :16] = 255
    still, no_flip = 0.5, (0.9, 0.9)
    turned, vanished, usual = augmented(
        np.stack([image] * 3), [(still, 0.0, *no_flip), (still, 0.25, *no_flip), (still, 0.5, *no_flip)], zoom_range=2
    )
    np.testing.assert_array_equal(turned, image[::-1, ::-1])
    assert abs(int(vanished[:16, :16].mean()) - int(vanished[16:, 16:].mean())) < 64
    np.testing.assert_array_equal(usual, image)


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
