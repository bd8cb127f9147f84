"""`synthetic`: procedurally drawn, histology-like images; the embedded default, made in NumPy alone.

Benign tissue has few, small, round nuclei of one size; malignant tissue has more, larger, irregular ones
of many sizes and darker stain. The ranges overlap, and every synthetic patient has a stain and a
malignancy of its own, so that the task can be learnt but not at a glance. These are drawings: no figure
measured on them says anything about medicine.
"""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bcdl.datasets import room
from bcdl.datasets.dataset import Request
from bcdl.datasets.pool import LABELS, Pool
from bcdl.errors import UsageError

READS = "synthetic or synthetic-COUNT"
_NAME = re.compile(r"synthetic(?:-(\d{1,18}))?")
_DEFAULT_COUNT = 96
_LEAST_COUNT = 36  # three benign patients, one a split
# A third of the source study's images are benign (547 of 1,693), and a patient has several images.
_BENIGN_SHARE = 1 / 3
_IMAGES_PER_PATIENT = 4
# Of each class's patients; one at least.
_VAL_SHARE, _TEST_SHARE = 0.1, 0.2
_DATA_SEED = 20_240_229  # of the drawings; not an option, so that a name always means the same images

_EOSIN = np.array([226, 158, 190], dtype=np.float64)
_HAEMATOXYLIN = np.array([104, 62, 142], dtype=np.float64)


def accepts(data: str) -> bool:
    return is_name(data)


def is_name(data: str) -> bool:
    return _NAME.fullmatch(data) is not None


def name_of(data: str) -> str:
    return f"synthetic-{_count(data)}"


def example(folder: Path) -> str:
    return "synthetic-48"


def read(request: Request) -> Pool:
    count = _count(request.data)
    room.check(count, request.image_size)
    benign = round(count * _BENIGN_SHARE)
    labels = np.repeat([LABELS["benign"], LABELS["malignant"]], [benign, count - benign])
    patients = np.concatenate([np.arange(benign), np.arange(count - benign)]) // _IMAGES_PER_PATIENT
    groups = np.array([f"{'bm'[label]}{patient:04d}" for label, patient in zip(labels, patients, strict=True)])
    sizes = itertools.repeat(request.image_size)
    with ThreadPoolExecutor() as threads:  # NumPy lets go of the interpreter's lock in most of what a drawing takes
        images = list(threads.map(_draw, sizes, labels.tolist(), patients.tolist(), range(count)))
    names = np.array([f"{group}-{i:05d}" for i, group in enumerate(groups)])
    given = _assign(labels, patients, request.split_seed)
    return Pool(name_of(request.data), True, np.stack(images), labels.astype(np.int64), groups, names, given)


def _assign(labels: np.ndarray, patients: np.ndarray, seed: int) -> np.ndarray:
    """The split of each image [N] str: in each class, every patient drawn into one."""
    given = np.empty(len(labels), dtype="<U5")
    for label in LABELS.values():
        count = patients[labels == label].max() + 1
        val, test = (max(1, round(share * count)) for share in (_VAL_SHARE, _TEST_SHARE))
        names = np.repeat(["val", "test", "train"], [val, test, count - val - test])
        drawn = np.random.default_rng([_DATA_SEED, seed, label]).permutation(names)
        given[labels == label] = drawn[patients[labels == label]]
    return given


def count_of(data: str) -> int | None:
    """How many drawings the name asks for; None if it is no name of drawings."""
    match = _NAME.fullmatch(data)
    return match and int(match[1] or _DEFAULT_COUNT)


def _count(data: str) -> int:
    count = count_of(data) or 0
    if count < _LEAST_COUNT:
        raise UsageError(f"{data!r} asks for {count} images; synthetic needs {_LEAST_COUNT} or more to be split")
    return count


def _draw(size: int, label: int, patient: int, index: int) -> np.ndarray:
    """One image [size, size, 3] uint8; `patient` sets stain and severity, `index` everything else."""
    of_patient = np.random.default_rng([_DATA_SEED, label, patient])
    of_image = np.random.default_rng([_DATA_SEED, index])
    stain = of_patient.normal(0, 12, 3)
    severity = np.clip(of_patient.normal(0.32 + 0.36 * label, 0.12), 0, 1)
    tissue = _EOSIN + stain + _texture(size, of_image)[..., None] * 16
    coverage = _nuclei(size, severity, of_image)[..., None]
    nuclei = _HAEMATOXYLIN + stain - 30 * severity
    noise = of_image.normal(0, 5, (size, size, 1))
    return np.clip(np.rint(tissue * (1 - coverage) + nuclei * coverage + noise), 0, 255).astype(np.uint8)


def _texture(size: int, generator: np.random.Generator) -> np.ndarray:
    """Wavy stroma [size, size] in about -1..1: a few plane waves of random direction."""
    y, x = np.mgrid[0:size, 0:size] / size
    waves = np.zeros((size, size))
    for _ in range(4):
        angle, phase = generator.uniform(0, 2 * np.pi, 2)
        frequency = generator.uniform(2, 9)
        waves += np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return waves / 2


def _nuclei(size: int, severity: float, generator: np.random.Generator) -> np.ndarray:
    """How much of each pixel a nucleus covers, [size, size] in 0..1: soft-edged ellipses."""
    coverage = np.zeros((size, size))
    for _ in range(generator.poisson(14 + 22 * severity)):
        radius = size * generator.normal(0.032 + 0.018 * severity, 0.004 + 0.010 * severity)
        radius = max(radius, 0.015 * size)
        stretch = 1 + abs(generator.normal(0.1, 0.05 + 0.4 * severity))
        _add_ellipse(coverage, generator.uniform(0, size, 2), radius, stretch, generator.uniform(0, np.pi))
    return coverage


def _add_ellipse(coverage: np.ndarray, centre: np.ndarray, radius: float, stretch: float, angle: float) -> None:
    size = len(coverage)
    reach = int(np.ceil(radius * stretch)) + 2
    (top, left), (bottom, right) = (np.maximum(centre - reach, 0).astype(int), (centre + reach).astype(int))
    y, x = np.mgrid[top : min(bottom, size), left : min(right, size)]
    dy, dx = y - centre[0], x - centre[1]
    along = (np.cos(angle) * dx + np.sin(angle) * dy) / (radius * stretch)
    across = (np.cos(angle) * dy - np.sin(angle) * dx) / radius
    distance = (np.hypot(along, across) - 1) * radius
    patch = np.clip(0.5 - distance, 0, 1) * 0.9
    window = coverage[top : min(bottom, size), left : min(right, size)]
    np.maximum(window, patch, out=window)
