"""Near-duplicates: images that are nearly the same picture.

They are copies that were resized, recompressed, brightened, cropped by up to 5 percent a side, written on, turned by
right angles or mirrored. Three steps find them, each by the structure of a picture alone: its local contrast, so that
brightness, a black margin or a shared background do not count. The first step is quick and lets too much pass, the last
decides:

1. every image is compared with every other by a descriptor of its coarse structure, in eight orientations; the few most
   similar to each image are candidates (`bcdl.datasets.candidates`);
2. a candidate is laid over the other image as well as an affine map can (enhanced correlation coefficient, Evangelidis
   and Psarakis 2008, IEEE TPAMI 30(10)), unless a few steps show that it won't agree;
3. two images that then agree block by block in fine structure are nearly the same. Two frames of one sweep, or two
   lesions of one shape, agree in coarse structure but not in this.

A candidate whose two images other pairs have already put into one cluster is passed over: it could change nothing. The
clusters are kept in the user's cache. Beside the fingerprints, which may lie in a file, up to 12 KB of memory are taken
for an image.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np

from bcdl.datasets import cache, candidates
from bcdl.datasets.fingerprint import SIDE, Fingerprinted
from bcdl.datasets.mapped import release
from bcdl.datasets.orientations import turn
from bcdl.datasets.progress import Shown
from bcdl.machine import hardware

_RULES = 1  # raise when what follows, or `candidates`, finds other clusters, so that old cache entries are not used
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
_TEXTURE = 2.0  # the scale of texture, as above
_LEAST_TEXTURE = 1.0  # grey levels, everywhere in a block: black with the noise of JPEG in it has less
# How well outlines must fit, after a few steps of laying one over the other and after all, by the number of steps.
_FEW_STEPS, _ALL_STEPS = 5, 30
_LEAST_FIT = {_FEW_STEPS: 0.58, _ALL_STEPS: 0.6}
# What sketches correlate by if laid over each other after a few steps. Of 25,000 pairs that agree as above, of images
# of 30 to 256 pixels, the worst has 0.40; half of the patches of micrographs that fit by chance have less than 0.38.
_LEAST_SKETCHED = 0.33
_AT_ONCE = 1024  # images or candidates that threads are given together


class _Described(NamedTuple):
    """The coarse structure of pictures, by which candidates are found, [N, 16, 16], and laid over, [N, 32, 32].

    Both are float32; descriptors are of mean 0 and norm 1, or all 0 if there is no structure.
    """

    descriptors: np.ndarray
    outlines: np.ndarray


class _Joined:
    """Sets of numbers from 0 to `count` less 1, each alone at first; `joined[number]` is the least of its set.

    SciPy has such sets, too, but the process that reads the data must not import it: it stays beside what is measured.
    """

    def __init__(self, count: int) -> None:
        self._lower = list(range(count))  # a lower number of the same set, or the number itself

    def __getitem__(self, number: int) -> int:
        while (lower := self._lower[number]) != number:
            self._lower[number] = number = self._lower[lower]
        return number

    def merge(self, number: int, other: int) -> None:
        first, second = sorted((self[number], self[other]))
        self._lower[second] = first


def clusters(greys: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The cluster of each chosen image, as the place in `chosen` of its first image; most are alone in theirs.

    Args:
        greys: grey fingerprints [N, SIDE, SIDE] uint8; they may lie in a file that is mapped to memory.
        chosen: the indices of the fingerprints to compare, [M] int.

    Returns:
        [M] int64. The same for the same fingerprints on every machine and number of cores, but for images that are as
        near to one of the limits as rounding is.
    """
    return _cached(_digest(greys, chosen), lambda: greys, chosen)


def clusters_of(images: Fingerprinted, chosen: np.ndarray) -> np.ndarray:
    """The clusters as above, of fingerprints that need not be read if the cache knows what they were made of."""
    if not images.made_of:
        return clusters(images.greys(), chosen)
    return _cached(f"{images.made_of} {cache.key_of(chosen.astype('<i8').tobytes())}", images.greys, chosen)


def _cached(made_of: str | bytes, greys: Callable[[], np.ndarray], chosen: np.ndarray) -> np.ndarray:
    key = cache.key_of(f"near-duplicates {_RULES} {cv2.__version__}", made_of)
    found = cache.read(key, np.dtype(np.int64))
    if found is None or len(found) != len(chosen):
        found = _find_clusters(greys(), chosen)
        cache.write(key, found)
    return found


def _digest(greys: np.ndarray, chosen: np.ndarray) -> bytes:
    digest = hashlib.sha256()
    for image in chosen:
        digest.update(np.ascontiguousarray(greys[image]).data)
    return digest.digest()


def _find_clusters(greys: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    with _threads() as threads:
        described = _describe_all(greys, chosen, threads)
        joined = _join(greys, chosen, described, threads)
    firsts: dict[int, int] = {}
    return np.array([firsts.setdefault(joined[place], place) for place in range(len(chosen))], np.int64)


def _join(greys: np.ndarray, chosen: np.ndarray, described: _Described, threads: ThreadPoolExecutor) -> _Joined:
    """The chosen images, joined if they are nearly the same picture, until no candidate is left that could join any."""

    @functools.cache
    def sketch(image: int) -> np.ndarray:
        return _sketch(greys[chosen[image]])

    def near(first: int, second: int, orientation: int) -> bool:
        outlines = described.outlines[first], turn(described.outlines[second], orientation)
        roughly = _lay_over(*outlines, _FEW_STEPS)
        if roughly is None:
            return False
        if _similarity(sketch(first), turn(sketch(second), orientation), roughly) < _LEAST_SKETCHED:
            return False
        warp = _lay_over(*outlines, _ALL_STEPS)
        if warp is None:
            return False
        return _agreement(greys[chosen[first]], turn(greys[chosen[second]], orientation), warp) >= LEAST_AGREEING

    joined = _Joined(len(chosen))
    pairs, turns = candidates.most_similar(described.descriptors)
    with Shown("looking for copies", len(pairs)) as shown:
        for start in range(0, len(pairs), _AT_ONCE):
            some = np.arange(start, min(start + _AT_ONCE, len(pairs)))
            left = some[[joined[first] != joined[second] for first, second in pairs[some].tolist()]]
            verdicts = threads.map(near, *pairs[left].T, turns[left])
            for pair, is_near in zip(pairs[left].tolist(), verdicts, strict=True):
                if is_near:
                    joined.merge(*pair)
            release(greys)
            shown.advance(len(some))
    return joined


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A thread for each core, in each of which OpenCV uses that thread alone."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(hardware.threads_worth_starting()) as threads:
            yield threads
    finally:
        cv2.setNumThreads(before)


def _describe_all(greys: np.ndarray, chosen: np.ndarray, threads: ThreadPoolExecutor) -> _Described:
    count = len(chosen)
    descriptors = np.empty((count, _DESCRIBED_SIDE, _DESCRIBED_SIDE), np.float32)
    outlines = np.empty((count, _ALIGNED_SIDE, _ALIGNED_SIDE), np.float32)
    with Shown("describing images", count) as shown:
        for start in range(0, count, _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            for place, structure in enumerate(threads.map(lambda image: _coarse(greys[image]), some), start):
                descriptors[place], outlines[place] = structure
            release(greys)
            shown.advance(len(some))
    return _Described(descriptors, outlines)


def _coarse(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The coarse structure of a fingerprint, as in `_Described`."""
    structure = _structure(grey, *_COARSE)
    small = _shrink(structure, _DESCRIBED_SIDE)
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-3), _shrink(structure, _ALIGNED_SIDE)


def _sketch(grey: np.ndarray) -> np.ndarray:
    """The fine structure of a fingerprint, from half of its resolution: [32, 32] float32."""
    finest, coarsest, floor = _FINE
    return _shrink(_structure(_shrink(grey, SIDE // 2), finest / 2, coarsest / 2, floor), _ALIGNED_SIDE)


def _lay_over(fixed: np.ndarray, moved: np.ndarray, steps: int) -> np.ndarray | None:
    """The affine map [2, 3] from pixels of one outline to those of another that lays the other over it.

    None if no map fits.
    """
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-3)
    try:
        fit, warp = cv2.findTransformECC(fixed, moved, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, stop, None, 1)
    except cv2.error:  # it did not converge, or there is no structure
        return None
    return warp if fit >= _LEAST_FIT[steps] else None


def _similarity(first: np.ndarray, second: np.ndarray, warp: np.ndarray) -> float:
    """What two sketches correlate by, where the second covers the first if the map lays it over it."""
    placed = _warped(second, warp)
    covered = _warped(np.ones_like(second), warp) > 0.99
    return float(_correlation(first[covered][None], placed[covered][None])[0]) if covered.any() else 0.0


def _warped(image: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """The image [S, S] laid over another by the map; 0 beyond its edges."""
    placed: np.ndarray = cv2.warpAffine(image, warp, image.shape, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return placed


def _enlarged(warp: np.ndarray) -> np.ndarray:
    """The map between fingerprints that a map between outlines stands for."""
    # The centre of pixel x of an outline lies at scale * x + (scale - 1) / 2 of the fingerprint.
    scale = SIDE / _ALIGNED_SIDE
    offset = np.full((2, 1), (scale - 1) / 2)
    linear, shift = warp[:, :2], warp[:, 2:]
    return np.hstack([linear, scale * shift + offset - linear @ offset]).astype(np.float32)


def _agreement(first: np.ndarray, second: np.ndarray, warp: np.ndarray) -> float:
    """How well two grey fingerprints agree in fine structure if the map of outlines lays one over the other, -1 to 1.

    It is what the worst of the best seven tenths of the textured blocks correlate by; 0 if too little is textured to
    say.
    """
    band = _band(first, *_FINE[:2])
    textured = _blocks(_contrast(band, _TEXTURE)).min(1) > _LEAST_TEXTURE
    structure, warp = _structure(second, *_FINE), _enlarged(warp)
    placed, covered = _blocks(_warped(structure, warp)), _blocks(_warped(np.ones_like(structure), warp))
    textured &= covered.min(1) > 0.99
    if textured.mean() < _TEXTURED_SHARE:
        return 0.0
    blocks = _blocks(_over_contrast(band, *_FINE[1:]))
    return float(np.quantile(_correlation(blocks[textured], placed[textured]), 1 - _AGREEING_SHARE))


def _structure(grey: np.ndarray, finest: float, coarsest: float, floor: float) -> np.ndarray:
    """A fingerprint's structure between two scales over its local contrast plus `floor`: [SIDE, SIDE] float32."""
    return _over_contrast(_band(grey, finest, coarsest), coarsest, floor)


def _over_contrast(band: np.ndarray, scale: float, floor: float) -> np.ndarray:
    structure: np.ndarray = band / (_contrast(band, scale) + floor)
    return structure


def _contrast(band: np.ndarray, scale: float) -> np.ndarray:
    """The local contrast of a fingerprint's structure, [SIDE, SIDE] float32, grey levels."""
    contrast: np.ndarray = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), scale))
    return contrast


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
