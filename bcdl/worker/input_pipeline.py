"""Batches in an order that the harness decides: the same bytes, epoch by epoch, on every backend."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bcdl.datasets import LABELS, Split
from bcdl.errors import UsageError

Batch = tuple[np.ndarray, np.ndarray]

# Batches made ahead of the device.
AHEAD = 4
# Keys of the random streams that a seed is split into.
_ORDER, _AUGMENT = 0, 1


class InputPipeline:
    """Training batches, all of them full: images [B, S, S, 3] uint8 and one-hot labels [B, 2] float32.

    The order is drawn anew each epoch; the images left over after the last full batch are others each
    epoch. A partial batch would be a new shape, and a new compilation on JAX.

    Raises UsageError if a batch is larger than the split.
    """

    def __init__(self, split: Split, batch_size: int, seed: int, augmented: bool) -> None:
        if batch_size > len(split):
            raise UsageError(
                f"--batch-size {batch_size} is more than the {len(split)} training images; use a smaller one"
            )
        self._split = split
        self._batch_size = batch_size
        self._seed = seed
        self._augmented = augmented

    @property
    def steps_per_epoch(self) -> int:
        return len(self._split) // self._batch_size

    def batch(self, epoch: int, step: int) -> Batch:
        """The batch of that epoch and step; it does not depend on which were made before."""
        order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self._split))
        chosen = order[step * self._batch_size : (step + 1) * self._batch_size]
        images = self._split.images[chosen]
        if self._augmented:
            from bcdl.worker.augmentation import augment  # here: a cell without augmentation needs no OpenCV

            streams = (np.random.default_rng([self._seed, _AUGMENT, epoch, int(index)]) for index in chosen)
            images = np.stack([augment(image, stream) for image, stream in zip(images, streams, strict=True)])
        return images, one_hot(self._split.labels[chosen])

    def stream(self) -> Iterator[Batch]:
        """Every epoch's batches without end, made ahead by a pool of threads."""
        plan = ((epoch, step) for epoch in itertools.count() for step in range(self.steps_per_epoch))
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="input-pipeline") as pool:
            waiting = collections.deque(pool.submit(self.batch, *next(plan)) for _ in range(AHEAD))
            try:
                while True:
                    batch = waiting.popleft().result()
                    waiting.append(pool.submit(self.batch, *next(plan)))
                    yield batch
            finally:
                pool.shutdown(cancel_futures=True)


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Labels [N] as [N, 2] float32: benign, malignant."""
    return np.eye(len(LABELS), dtype=np.float32)[labels]


def padded(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Images [N, ...] in batches of exactly `batch_size`, the last filled up by repeating its last image."""
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        missing = batch_size - len(batch)
        yield np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
