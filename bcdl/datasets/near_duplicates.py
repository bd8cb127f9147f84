"""Near-duplicates: images that are nearly the same picture.

They are copies that were resized, recompressed, brightened, cropped by up to 5 percent a side, written on, turned by
right angles or mirrored. Three steps find them, each by the structure of a picture alone: its local contrast, so that
brightness, a black margin or a shared background do not count. The first step is quick and lets too much pass, the last
decides:

1. every image is compared with every other by a descriptor of its coarse structure, in eight orientations; the few most
   similar to each image are candidates (`bcdl.datasets.candidates`);
2. a candidate is laid over the other image as well as an affine map can (enhanced correlation coefficient, Evangelidis
   and Psarakis 2008, IEEE TPAMI 30(10)), unless it is far from fitting after a few steps;
3. two images that then agree block by block in fine structure are nearly the same. Two frames of one sweep, or two
   lesions of one shape, agree in coarse structure but not in this.

Candidates that other pairs have shown to be of one cluster already are not laid over each other: that would change
nothing. Beside the fingerprints, which may lie in a file, 7 KB of memory are taken for an image.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from bcdl.datasets import candidates
from bcdl.datasets.fingerprint import SIDE
from bcdl.datasets.orientations import turn
from bcdl.datasets.progress import Shown

# Scales of structure as standard deviations, pixels of a fingerprint, and what is added to a local contrast, grey
# levels: what is fainter than that counts for less.
_COARSE, _FINE = (4.0, 12.0, 8.0), (1.5, 5.0, 4.0)
_DESCRIBED_SIDE, _ALIGNED_SIDE, _BLOCK = 16, 32, 8
# Copies, made in these ways, of ultrasound images (BUSI), micrographs (BreaKHis) and drawings agree by 0.8 or
# more, different ones of full size by less than 0.3. Between lie frames of one sweep, and copies written all over.
LEAST_AGREEING = 0.6
# Of the textured blocks. If half of them were enough, mammograms of one outline and one label would be one picture; if
# nine tenths were needed, a copy with two lines of a caliper and a caption would be another picture.
_AGREEING_SHARE = 0.7
# Of the picture; what has less texture (a label on black, a small breast in a large frame) can't be told apart.
_TEXTURED_SHARE = 0.25
_LEAST_TEXTURE = 1.0  # grey levels, everywhere in a block: black with the noise of JPEG in it has less
# How well coarse structures must fit after a few steps of laying one over the other, and after all.
_FEW, _ALL = 5, 30
_LEAST_FIT = {_FEW: 0.6, _ALL: 0.6}
_AT_ONCE = 1024  # images or candidates that threads are given together


class _Described(NamedTuple):
    """The coarse structure of pictures, by which candidates are found, [N, 16, 16], and laid over, [N, 32, 32].

    Both are float32; the first is in whole numbers, as `candidates.whole` makes them.
    """

    descriptors: np.ndarray
    outlines: np.ndarray


def clusters(greys: np.ndarray) -> np.ndarray:
    """The cluster [N] int64 that each grey fingerprint [N, SIDE, SIDE] uint8 belongs to, as its first image's index."""
    joined = DisjointSet(range(len(greys)))
    if len(greys) > 1:
        with _threads() as threads:
            _join(joined, greys, threads)
    firsts: dict[int, int] = {}
    return np.array([firsts.setdefault(joined[image], image) for image in range(len(greys))], np.int64)


def _join(joined: DisjointSet, greys: np.ndarray, threads: ThreadPoolExecutor) -> None:
    """Join the images that are nearly the same picture, until no candidate is left that could join any."""
    described = _describe_all(greys, threads)
    pairs = candidates.most_similar(described.descriptors)

    def near(first: int, second: int, orientation: int) -> bool:
        outlines = described.outlines[first], turn(described.outlines[second], orientation)
        warp = _lay_over(*outlines)
        return warp is not None and _agreement(greys[first], turn(greys[second], orientation), warp) >= LEAST_AGREEING

    with Shown("looking for copies", len(pairs)) as shown:
        for start in range(0, len(pairs), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            left = np.array([pair for pair in some.tolist() if not joined.connected(*pair)], np.int64).reshape(-1, 2)
            orientations = candidates.best_orientations(described.descriptors, left)
            for (first, second), is_near in zip(left, threads.map(near, *left.T, orientations), strict=True):
                if is_near:
                    joined.merge(int(first), int(second))
            shown.advance(len(some))


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core, in each of which OpenCV uses that thread alone."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            yield threads
    finally:
        cv2.setNumThreads(before)


def _describe_all(greys: np.ndarray, threads: ThreadPoolExecutor) -> _Described:
    count = len(greys)
    descriptors = np.empty((count, _DESCRIBED_SIDE, _DESCRIBED_SIDE), np.float32)
    outlines = np.empty((count, _ALIGNED_SIDE, _ALIGNED_SIDE), np.float32)
    with Shown("describing images", count) as shown:
        for start in range(0, count, _AT_ONCE):
            some = slice(start, min(start + _AT_ONCE, count))
            for image, structure in zip(range(some.start, some.stop), threads.map(_coarse, greys[some]), strict=True):
                descriptors[image], outlines[image] = structure
            shown.advance(some.stop - some.start)
    return _Described(descriptors, outlines)


def _coarse(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coarse structure of a fingerprint, as in `_Described`."""
    structure = _structure(grey, *_COARSE)
    small = _shrink(structure, _DESCRIBED_SIDE)
    small -= small.mean()
    descriptor = small / max(float(np.linalg.norm(small)), 1e-3)
    return candidates.whole(descriptor), _shrink(structure, _ALIGNED_SIDE)


def _lay_over(fixed: np.ndarray, moved: np.ndarray) -> np.ndarray | None:
    """The affine map [2, 3] from pixels of one fingerprint to those of another that lays the other's outline over its.

    None if no map fits.
    """
    for steps, least in _LEAST_FIT.items():
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-3)
        try:
            warp = np.eye(2, 3, dtype=np.float32)
            fit, warp = cv2.findTransformECC(fixed, moved, warp, cv2.MOTION_AFFINE, stop, None, 1)
        except cv2.error:  # it did not converge, or there is no structure
            return None
        if fit < least:
            return None
    # The centre of pixel x of an outline lies at scale * x + (scale - 1) / 2 of the fingerprint.
    scale = SIDE / _ALIGNED_SIDE
    offset = np.full(2, (scale - 1) / 2)
    warp[:, 2] = scale * warp[:, 2] + offset - warp[:, :2] @ offset
    return warp


def _agreement(first: np.ndarray, second: np.ndarray, warp: np.ndarray) -> float:
    """How well two grey fingerprints agree in fine structure if the map lays the second over the first, -1 to 1.

    It is what the worst of the best seven tenths of the textured blocks correlate by; 0 if too little is textured to
    say.
    """
    structure = _structure(second, *_FINE)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    placed, covered = (
        _blocks(cv2.warpAffine(pixels, warp, (SIDE, SIDE), flags=flags))
        for pixels in (structure, np.ones_like(structure))
    )
    textured = (_blocks(_texture(first)).min(1) > _LEAST_TEXTURE) & (covered.min(1) > 0.99)
    if textured.mean() < _TEXTURED_SHARE:
        return 0.0
    blocks = _blocks(_structure(first, *_FINE))
    return float(np.quantile(_correlation(blocks[textured], placed[textured]), 1 - _AGREEING_SHARE))


def _structure(grey: np.ndarray, finest: float, coarsest: float, floor: float) -> np.ndarray:
    """A fingerprint's structure between two scales over its local contrast plus `floor`: [SIDE, SIDE] float32."""
    band = _band(grey, finest, coarsest)
    structure: np.ndarray = band / (np.sqrt(cv2.GaussianBlur(band * band, (0, 0), coarsest)) + floor)
    return structure


def _texture(grey: np.ndarray) -> np.ndarray:
    """The local contrast of a fingerprint's fine structure, [SIDE, SIDE] float32, grey levels."""
    finest, coarsest, _ = _FINE
    band = _band(grey, finest, coarsest)
    texture: np.ndarray = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), 2.0))
    return texture


def _band(grey: np.ndarray, finest: float, coarsest: float) -> np.ndarray:
    pixels = grey.astype(np.float32)
    band: np.ndarray = cv2.GaussianBlur(pixels, (0, 0), finest) - cv2.GaussianBlur(pixels, (0, 0), coarsest)
    return band


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    small: np.ndarray = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small


def _blocks(image: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE] as rows, a square of 8 by 8 pixels each."""
    count = SIDE // _BLOCK
    return image.reshape(count, _BLOCK, count, _BLOCK).swapaxes(1, 2).reshape(count * count, -1)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row of one with the same row of the other: [N, M] and [N, M] to [N]."""
    first, second = (part - part.mean(1, keepdims=True) for part in (first, second))
    products = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    correlation: np.ndarray = (first * second).sum(1) / np.maximum(products, 1e-6)
    return correlation
