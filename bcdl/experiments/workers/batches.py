"""A process that times an input pipeline alone.

`python -m bcdl.experiments.workers.batches PIPELINE PIXELS BATCH CORES RESULT` writes its images/s into RESULT.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from bcdl import backends
from bcdl.datasets import Split
from bcdl.experiments.workers import results
from bcdl.machine.clock import stopwatch
from bcdl.settings.cell import ZOOM
from bcdl.worker import parent_death
from bcdl.worker.augmentation import ROTATION_DEGREES, scratch_for, warp
from bcdl.worker.input_pipeline import InputPipeline

COMMAND = ("-m", "bcdl.experiments.workers.batches")
OWN = "bcdl"
IMAGES = 1024  # more than caches hold, at 96 pixels too
_WARM_UP_S = 1.0
_TIMED_S = 2.0
_FEWEST = 20  # batches that the warm-up and the timing have at least


def main(pipeline: str, pixels: str, batch: str, cores: str, result: str) -> int:
    parent_death.end_with_driver()
    split, batch_size = _noise(IMAGES, int(pixels)), int(batch)
    if pipeline == OWN:
        stream: Iterator[Any] = InputPipeline(split, batch_size, seed=0, augmented=True).stream()
    else:
        _, batches = backends.input_pipelines()[pipeline]
        stream = batches(Drawn(split), batch_size, int(cores))
    results.write(images_per_s(stream, batch_size), result)
    return 0


def images_per_s(stream: Iterator[Any], batch_size: int) -> float:
    """The rate at which batches come, once they have come for a while."""
    _draw(stream, _WARM_UP_S)
    elapsed = stopwatch()
    return _draw(stream, _TIMED_S) * batch_size / elapsed()


def _draw(stream: Iterator[Any], seconds: float) -> int:
    """Draw batches for so long, `_FEWEST` at least; how many."""
    elapsed = stopwatch()
    for drawn in itertools.count(1):
        next(stream)
        if drawn >= _FEWEST and elapsed() >= seconds:
            return drawn
    raise AssertionError("batches come without end")


class Drawn:
    """The images of a split, each augmented anew when it is drawn, as the frameworks' pipelines draw it."""

    def __init__(self, split: Split) -> None:
        self._images, self._labels = split.images, np.eye(2, dtype=np.float32)[split.labels]
        self.image_shape, self.label_shape = self._images.shape[1:], self._labels.shape[1:]
        self._of_thread = threading.local()

    def __len__(self) -> int:
        return len(self._labels)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_of_thread"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._of_thread = threading.local()

    def draw(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """As `bcdl.worker.augmentation.augment` does of many images, by plain Python for one."""
        image, of_thread = self._images[index], self._of_thread
        size = len(image)
        if not hasattr(of_thread, "generator"):
            of_thread.generator, of_thread.scratch = np.random.default_rng(), scratch_for(size)
        generator = of_thread.generator
        angle = generator.uniform(-ROTATION_DEGREES, ROTATION_DEGREES)
        zoom = generator.uniform(1 - ZOOM, 1 + ZOOM)
        matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle, zoom)
        for axis in (0, 1):
            if generator.random() < 0.5:
                matrix[axis] *= -1
                matrix[axis, 2] += size - 1
        out = np.empty_like(image)
        warp(image, matrix, out, of_thread.scratch)
        return out, self._labels[index]


def _noise(count: int, size: int) -> Split:
    images = np.random.default_rng(size).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    names = np.arange(count).astype(str)
    return Split(images, np.arange(count) % 2, names, names, np.ones(count, bool))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
