"""The plain search for near-duplicates: every image against every other in each orientation, every candidate in full.

It is what `bcdl.datasets.near_duplicates` must find the same as, written for that alone: nothing is left out for time.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from bcdl.datasets.fingerprint import SIDE

# As in `near_duplicates` and `candidates`, which say what they are.
_COARSE, _FINE = (4.0, 12.0, 8.0), (1.5, 5.0, 4.0)
_DESCRIBED_SIDE, _ALIGNED_SIDE, _BLOCK = 16, 32, 8
_LEAST_AGREEING, _AGREEING_SHARE = 0.6, 0.7
_TEXTURED_SHARE, _LEAST_TEXTURE = 0.25, 1.0
_LEAST_DESCRIBED, _LEAST_ALIGNED = 0.45, 0.6
_CANDIDATES = 8
_ROWS = 512
_ORIENTATIONS = [(turns, mirrored) for mirrored in (False, True) for turns in range(4)]
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)


def clusters(greys: np.ndarray) -> np.ndarray:
    """The cluster [N] int that each grey fingerprint [N, SIDE, SIDE] uint8 belongs to; most have one of their own."""
    joined = list(range(len(greys)))  # an earlier image of the same cluster, or the image itself

    def first_of(image: int) -> int:
        while joined[image] != image:
            joined[image] = image = joined[joined[image]]
        return image

    for pair in near_pairs(greys) if len(greys) > 1 else []:
        first, second = sorted(map(first_of, pair))
        joined[second] = first
    return np.unique([first_of(image) for image in joined], return_inverse=True)[1]


def near_pairs(greys: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of grey fingerprints [N, SIDE, SIDE] uint8 that are nearly the same picture."""
    candidates = _candidates(greys)

    def near(candidate: tuple[int, int, int]) -> bool:
        first, second, orientation = candidate
        return agreement(greys[first], _turn(greys[second], orientation)) >= _LEAST_AGREEING

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(near, candidates)
        return [(first, second) for (first, second, _), is_near in zip(candidates, verdicts, strict=True) if is_near]


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """How well two grey fingerprints agree in fine structure, laid over each other, -1 to 1.

    It is what the worst of the best seven tenths of the textured blocks correlate by; 0 if the fingerprints can't be
    laid over each other, or too little of them is textured to say.
    """
    placed = _lay_over(first, second)
    if placed is None:
        return 0.0
    structure, overlap = placed
    texture, covered = _blocks(_texture(first)), _blocks(overlap)
    textured = (texture.min(1) > _LEAST_TEXTURE) & (covered.min(1) > 0.99)
    if textured.mean() < _TEXTURED_SHARE:
        return 0.0
    blocks, others = _blocks(_structure(first, *_FINE))[textured], _blocks(structure)[textured]
    return float(np.quantile(_correlation(blocks, others), 1 - _AGREEING_SHARE))


def _candidates(greys: np.ndarray) -> list[tuple[int, int, int]]:
    """Pairs worth laying over each other, each once: two indices and the orientation of the second."""
    described = np.stack([_describe(grey) for grey in greys])
    turned = [_turn(described, orientation).reshape(len(greys), -1) for orientation in range(len(_ORIENTATIONS))]
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    count = min(_CANDIDATES, len(greys))
    for start in range(0, len(greys), _ROWS):
        rows = turned[0][start : start + _ROWS]
        similarity = np.full((len(rows), len(greys)), -1, np.float32)
        orientation = np.zeros(similarity.shape, np.int8)
        for number, others in enumerate(turned):
            products = rows @ others.T
            orientation[products > similarity] = number
            np.maximum(similarity, products, out=similarity)
        similarity[np.arange(len(rows)), start + np.arange(len(rows))] = -1  # with itself
        for row, others in enumerate(np.argpartition(-similarity, count - 1, axis=1)[:, :count]):
            for other in others[similarity[row, others] >= _LEAST_DESCRIBED]:
                pair = (min(start + row, int(other)), max(start + row, int(other)))
                best.setdefault(pair, (start + row, int(other), int(orientation[row, other])))
    return list(best.values())


def _describe(grey: np.ndarray) -> np.ndarray:
    """The coarse structure of a fingerprint, [16, 16] float32 of mean 0 and norm 1; all 0 if there is none."""
    small = _shrink(_structure(grey, *_COARSE), _DESCRIBED_SIDE)
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-3)


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


def _lay_over(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The fine structure of `second`, laid over `first`, and the share of each pixel that it covers, both [SIDE, SIDE].

    None if no affine map fits.
    """
    fixed, moved = (_shrink(_structure(grey, *_COARSE), _ALIGNED_SIDE) for grey in (first, second))
    warp = np.eye(2, 3, dtype=np.float32)
    try:
        fit, warp = cv2.findTransformECC(fixed, moved, warp, cv2.MOTION_AFFINE, _STOP, None, 1)
    except cv2.error:  # it did not converge, or there is no structure
        return None
    if fit < _LEAST_ALIGNED:
        return None
    # The centre of pixel x of the small one lies at scale * x + (scale - 1) / 2 of the fingerprint.
    scale = SIDE / _ALIGNED_SIDE
    offset = np.full(2, (scale - 1) / 2)
    warp[:, 2] = scale * warp[:, 2] + offset - warp[:, :2] @ offset
    structure = _structure(second, *_FINE)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    placed, covered = (cv2.warpAffine(p, warp, (SIDE, SIDE), flags=flags) for p in (structure, np.ones_like(structure)))
    return placed, covered


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


def _turn(images: np.ndarray, orientation: int) -> np.ndarray:
    """Images [..., S, S] in one of the eight orientations of a square."""
    turns, mirrored = _ORIENTATIONS[orientation]
    return np.rot90(images[..., ::-1] if mirrored else images, turns, axes=(-2, -1))
