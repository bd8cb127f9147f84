"""Drawings, and copies of them, for tests of what is twice in a data set."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from bcdl.datasets import Request, duplicates
from bcdl.datasets.duplicates import Duplicates
from bcdl.datasets.fingerprint import Fingerprinted, Fingerprints, fingerprint
from bcdl.datasets.sources import synthetic

FRAME = (160, 160)


@functools.cache
def drawings() -> tuple[Image.Image, ...]:
    """Twelve synthetic drawings, four a patient."""
    return tuple(map(Image.fromarray, synthetic.read(Request("synthetic-36", FRAME[0])).images[:12]))


def find(images: Sequence[Image.Image], labels: Sequence[int] | None = None) -> Duplicates:
    """The duplicates among images named by their numbers."""
    names = np.array([str(number) for number in range(len(images))])
    fingerprints = Fingerprinted.of(np.stack([fingerprint(image.convert("RGB")) for image in images]))
    return duplicates.find(Fingerprints(fingerprints, names, np.array(labels or [0] * len(images))))


def jpeg(image: Image.Image, quality: int = 40) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def brighten(image: Image.Image, gain: float = 0.7) -> Image.Image:
    return image.point(lambda level: min(255, int(level * gain + 20)))
