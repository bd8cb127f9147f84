"""Batches in an order that the harness decides: the same bytes, epoch by epoch, on every backend.

A pool of threads makes them ahead of the device, one for each core that the process may use. A thread makes a piece of
a batch at a time, in the batch's own memory, so that all cores work on a large batch too. All that is random is drawn
for an epoch as a whole.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from bcdl.datasets import LABELS, Split
from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.records.shapes import InputPipelineFacts
from bcdl.settings.cell import ZOOM
from bcdl.worker.streams import uniform

Batch = tuple[np.ndarray, np.ndarray]

# Images that a thread makes at a time: enough that handing out the work costs little.
_PIECE = 32
# Pieces made ahead, for each thread: the one that it works on, and one that is ready or waits for it.
_PIECES_AHEAD = 2
# Batches made ahead hold no more bytes together, but for the least of them.
_MOST_BYTES = 2**30
_LEAST_AHEAD = 2
# Keys of the random streams that a seed is split into.
_ORDER, _AUGMENT = 0, 1


class InputPipeline:
    """Training batches, all of them full: images [B, S, S, 3] uint8 and one-hot labels [B, 2] float32.

    The order is drawn anew each epoch; the images left over after the last full batch are others each
    epoch. A partial batch would be a new shape, and a new compilation on JAX.

    Raises UsageError if a batch is larger than the split.
    """

    def __init__(self, split: Split, batch_size: int, seed: int, augmented: bool, zoom_range: float = ZOOM) -> None:
        if batch_size > len(split):
            raise UsageError(
                f"--batch-size {batch_size} is more than the {len(split)} training images; use a smaller one"
            )
        self._images = np.asarray(split.images)  # of a mapped file, each image would be a slower kind of array
        self._labels = one_hot(split.labels)
        self._batch_size = batch_size
        self._seed = seed
        self._augmented, self._zoom_range = augmented, zoom_range

    @property
    def steps_per_epoch(self) -> int:
        return len(self._labels) // self._batch_size

    @property
    def batches_ahead(self) -> int:
        """How many batches are made ahead of the device: what keeps every thread busy, within `_MOST_BYTES`."""
        needed = math.ceil(_PIECES_AHEAD * threads() / len(self._pieces()))
        affordable = _MOST_BYTES // (self._batch_size * self._images[0].nbytes)
        return max(_LEAST_AHEAD, min(needed, affordable))

    def describe(self) -> InputPipelineFacts:
        """What a record says of it."""
        return {"threads": threads(), "batches_ahead": self.batches_ahead}

    def batch(self, epoch: int, step: int) -> Batch:
        """The batch of that epoch and step; it does not depend on which were made before."""
        batch = self._empty()
        self._fill(batch, self._draw(epoch), step, slice(None))
        return batch

    def stream(self) -> Iterator[Batch]:
        """Every epoch's batches without end, made ahead by threads; each in memory that is never written again.

        An error of a thread is raised here. Closing the iterator ends the threads.
        """
        with ThreadPoolExecutor(threads(), thread_name_prefix="input-pipeline") as pool:
            begun = self._begin(pool)
            waiting = collections.deque(itertools.islice(begun, self.batches_ahead))
            try:
                while True:
                    batch, pieces = waiting.popleft()
                    for piece in pieces:
                        piece.result()
                    waiting.append(next(begun))
                    yield batch
            finally:
                pool.shutdown(cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor) -> Iterator[tuple[Batch, list[Future[None]]]]:
        """Every batch, being made, with the pieces to wait for. An epoch is drawn while the one before is made."""
        drawn = pool.submit(self._draw, 0)
        for following in itertools.count(1):
            epoch, drawn = drawn, pool.submit(self._draw, following)
            for step in range(self.steps_per_epoch):
                batch = self._empty()
                yield batch, [pool.submit(self._fill_later, batch, epoch, step, piece) for piece in self._pieces()]

    def _pieces(self) -> list[slice]:
        return [slice(start, start + _PIECE) for start in range(0, self._batch_size, _PIECE)]

    def _empty(self) -> Batch:
        """Memory for a batch."""
        images = np.empty((self._batch_size, *self._images.shape[1:]), np.uint8)
        return images, np.empty((self._batch_size, len(LABELS)), np.float32)

    def _draw(self, epoch: int) -> _Epoch:
        order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self._labels))
        if not self._augmented:
            return _Epoch(order)
        from bcdl.worker.augmentation import DRAWS  # here: a cell without augmentation needs no OpenCV

        return _Epoch(order, uniform([self._seed, _AUGMENT, epoch], order, DRAWS))

    def _fill_later(self, batch: Batch, epoch: Future[_Epoch], step: int, piece: slice) -> None:
        self._fill(batch, epoch.result(), step, piece)

    def _fill(self, batch: Batch, epoch: _Epoch, step: int, piece: slice) -> None:
        """Make a piece of the batch of that step."""
        images, labels = (part[piece] for part in batch)
        of_batch = slice(step * self._batch_size, (step + 1) * self._batch_size)
        chosen = epoch.order[of_batch][piece]
        np.take(self._labels, chosen, axis=0, out=labels, mode="clip")  # "raise" would make a copy first
        if epoch.draws is None:
            np.take(self._images, chosen, axis=0, out=images, mode="clip")
            return
        from bcdl.worker.augmentation import augment

        given = (self._images[index] for index in chosen.tolist())
        augment(given, epoch.draws[of_batch][piece], images, self._zoom_range)


@dataclasses.dataclass(frozen=True)
class _Epoch:
    """What is random in an epoch of N images: their order [N], and the draws of each in that order, [N, DRAWS]."""

    order: np.ndarray
    draws: np.ndarray | None = None


def threads() -> int:
    """How many threads make batches."""
    return hardware.threads_worth_starting()


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Labels [N] as [N, 2] float32: benign, malignant."""
    return np.eye(len(LABELS), dtype=np.float32)[labels]


def padded(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Images [N, ...] in batches of exactly `batch_size`, the last filled up by repeating its last image."""
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        missing = batch_size - len(batch)
        yield np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
