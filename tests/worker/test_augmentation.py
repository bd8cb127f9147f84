"""Augmentation keeps its promises: uint8, the right range, the same bytes for the same seed."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bcdl.worker.augmentation import augment


@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 33, 64]))
def test_the_same_seed_gives_the_same_bytes(seed: int, size: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    first, second = (augment(image, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == image.shape
    np.testing.assert_array_equal(first, second)


@given(st.integers(0, 2**32 - 1))
def test_a_plain_image_stays_plain(seed: int) -> None:
    image = np.full((32, 32, 3), (10, 120, 250), np.uint8)
    np.testing.assert_array_equal(augment(image, np.random.default_rng(seed)), image)


class _Fixed:
    """Stands in for a generator: no rotation, no zoom, chosen flips."""

    def __init__(self, flips: tuple[bool, bool]) -> None:
        self._flips = flips
        self._draws = iter((0.0, 1.0))

    def uniform(self, low: float, high: float) -> float:
        return next(self._draws)

    def random(self, count: int) -> np.ndarray:
        return np.where(self._flips, 0.0, 0.9)


def test_flips_are_exact() -> None:
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for flips, wanted in {
        (False, False): image,
        (True, False): image[:, ::-1],
        (False, True): image[::-1],
        (True, True): image[::-1, ::-1],
    }.items():
        np.testing.assert_array_equal(augment(image, _Fixed(flips)), wanted)


def test_opencv_runs_on_the_feeds_threads_alone() -> None:
    assert cv2.getNumThreads() == 1
