"""Candidates: for each picture the few others that are most similar to it, in whichever of eight orientations.

The search is exact, so that no true pair is lost: an approximate index of nearest neighbours has to be asked eight
times, misses some, and depends on the number of threads that built it. What makes it quick:

- A descriptor is the sum of four parts, each even or odd from left to right and from top to bottom. A reflection only
  changes signs of parts, so that the four reflections together take four products of a quarter of the values; the four
  other orientations are the reflections of the transposed picture. That is a quarter of the work of whole products.
- Each pair is compared once, in tiles that stay in the processor's cache, one to a core, and only what is more similar
  than the best so far is looked at.

Time still grows with the square of the number of pictures. Descriptors are compared as whole numbers so small that
float32 holds every sum of their products exactly, so that the order in which a library adds and the number of cores
change nothing. The few best by these are ranked by the descriptors as they are.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from bcdl.datasets import orientations
from bcdl.datasets.progress import Shown
from bcdl.machine import hardware

MOST = 8  # of a picture; more are needed only if none of eight copies leads to a ninth
# A copy cropped by 5 percent a side has 0.6; several times as many pairs pass as are copies.
LEAST_SIMILARITY = 0.45
_SPARE = 4  # more that are ranked: whole numbers may change the order of those that differ by less than rounding
_ROUNDING = 2e-3  # of a similarity, at most, by whole numbers
# The norm of a descriptor in whole numbers. Four times its square, the largest sum that occurs, is below 2^24.
_NORM = 2000
_LEAST_SUM = np.float32(4 * (LEAST_SIMILARITY - _ROUNDING) * _NORM**2)
_SIDE = 512  # of a tile of the table of pictures against pictures
_AT_ONCE = 16  # tiles whose similar pairs are in memory together: if all pictures are alike, those are all their pairs
_RANKED_AT_ONCE = 8192
_DIGITS = 9  # of a similarity; pictures that are equal in them are taken in their order
_NOBODY = np.iinfo(np.int64).max  # in place of a picture, if there are fewer than eight similar ones


class _Entries(NamedTuple):
    """Entries of the table: two pictures each, [M] int64, and four times their product, [M] float32."""

    images: np.ndarray
    others: np.ndarray
    similarity: np.ndarray

    def at(self, chosen: np.ndarray) -> _Entries:
        return _Entries(*(column[chosen] for column in self))


def most_similar(descriptors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of which one picture is among the eight most similar to the other, and similar enough.

    Args:
        descriptors: [N, S, S] float32 of norm 1, or all 0; S is even.

    Returns:
        Indices of pictures [M, 2] int64, each pair once, the most similar first, and in which orientation [M] int64 the
        second is most similar to the first. The lower picture of a pair stands first, unless the higher one is not
        among those most similar to it.
    """
    table, best = _Table(np.rint(descriptors * np.float32(_NORM))), _Best(len(descriptors))
    tiles = [(row, column) for row in range(0, table.side, _SIDE) for column in range(row, table.side, _SIDE)]
    with (
        Shown("comparing images", len(tiles)) as shown,
        ThreadPoolExecutor(hardware.threads_worth_starting()) as threads,
        # The threads of a BLAS would wait for each other, for longer than a product of this size takes.
        threadpool_limits(1, "blas"),
    ):
        for start in range(0, len(tiles), _AT_ONCE):
            some = tiles[start : start + _AT_ONCE]
            for entries in threads.map(lambda tile: best.better(table.entries(*tile)), some):
                best.add(entries)
            shown.advance(len(some))
    return _ranked(descriptors, *best.chosen())


def _ranked(descriptors: np.ndarray, images: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `most_similar` returns, of the pairs of these images and others."""
    similarity, orientation = _compared(descriptors, images, others)
    order = np.lexsort((others, -similarity, images))
    order = order[similarity[order] >= LEAST_SIMILARITY]
    order = order[_ranks(images[order]) < MOST]
    pairs = np.stack([images[order], others[order]], axis=1)
    # Of a pair that is there twice, the first has the lower picture first.
    _, once = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True)
    once = once[np.argsort(-similarity[order[once]], kind="stable")]
    return pairs[once], orientation[order[once]]


def _compared(descriptors: np.ndarray, images: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The similarity [M] of the images to the others in the orientation [M] in which it is largest."""
    similarity, orientation = np.empty(len(images)), np.empty(len(images), np.int64)
    for start in range(0, len(images), _RANKED_AT_ONCE):
        some = slice(start, start + _RANKED_AT_ONCE)
        first, second = (descriptors[chosen[some]].astype(np.float64) for chosen in (images, others))
        turned = (orientations.turn(second, number) for number in range(orientations.COUNT))
        products = np.stack([np.einsum("nij,nij->n", first, other) for other in turned]).round(_DIGITS)
        similarity[some], orientation[some] = products.max(0), products.argmax(0)
    return similarity, orientation


def _ranks(images: np.ndarray) -> np.ndarray:
    """The place of each entry among those of its image, from 0; `images` are sorted."""
    return np.arange(len(images)) - np.searchsorted(images, images)


class _Table:
    """The table of pictures against pictures: four times the product in the orientation in which it is largest."""

    def __init__(self, descriptors: np.ndarray) -> None:
        self.side = len(descriptors)
        self._parts, self._transposed = _parts(descriptors), _parts(descriptors.swapaxes(1, 2))
        self._of_thread = threading.local()

    def entries(self, row: int, column: int) -> _Entries:
        """Those large enough in the tile that begins there, above the diagonal."""
        rows, columns = slice(row, min(row + _SIDE, self.side)), slice(column, min(column + _SIDE, self.side))
        shape = (rows.stop - row, columns.stop - column)
        products, largest = self._memory()[:5, : shape[0], : shape[1]], self._memory()[5, : shape[0], : shape[1]]
        largest.fill(0)
        for others in (self._parts, self._transposed):
            _add_reflections(self._parts[:, rows], others[:, columns], products, largest)
        images, others = np.divmod(np.flatnonzero(largest >= _LEAST_SUM), shape[1])
        entries = _Entries(images + row, others + column, largest[images, others])
        return entries.at(entries.images < entries.others)

    def _memory(self) -> np.ndarray:
        """Room for a tile's products, of each thread its own: new memory for each tile takes longer than to fill it."""
        if not hasattr(self._of_thread, "memory"):
            self._of_thread.memory = np.empty((6, _SIDE, _SIDE), np.float32)
        memory: np.ndarray = self._of_thread.memory
        return memory


def _parts(descriptors: np.ndarray) -> np.ndarray:
    """A quarter of each of the four even and odd parts of descriptors, [4, N, S * S / 4]; four times as large."""
    half = descriptors.shape[1] // 2
    top, bottom = descriptors[:, :half], descriptors[:, : half - 1 : -1]
    quarters = []
    for rows in (top + bottom, top - bottom):
        left, right = rows[..., :half], rows[..., : half - 1 : -1]
        quarters += [left + right, left - right]
    return np.stack(quarters).reshape(4, len(descriptors), half * half)


def _add_reflections(parts: np.ndarray, others: np.ndarray, products: np.ndarray, largest: np.ndarray) -> None:
    """Raise `largest` [N, M] to four times the largest product of descriptors with the four reflections of others.

    `products` [5, N, M] is overwritten.
    """
    for part, other, product in zip(parts, others, products, strict=False):
        np.matmul(part, other.T, out=product)
    even, odd_across, odd_down, odd_both, difference = products
    np.subtract(even, odd_across, out=difference)
    np.add(even, odd_across, out=even)
    np.subtract(odd_down, odd_both, out=odd_across)
    np.add(odd_down, odd_both, out=odd_down)
    # A reflection upside down changes the sign of the last two: the larger of both sums has the absolute value.
    for upright, upside_down in ((even, odd_down), (difference, odd_across)):
        upright += np.abs(upside_down, out=upside_down)
        np.maximum(largest, upright, out=largest)


class _Best:
    """The few pictures most similar to each of `count` pictures, of those added so far; of equal ones the first."""

    def __init__(self, count: int) -> None:
        self._others = np.full((count, MOST + _SPARE), _NOBODY)
        self._similarity = np.full((count, MOST + _SPARE), _LEAST_SUM, np.float32)

    def better(self, entries: _Entries) -> _Entries:
        """Those that are as similar as the last of the best of one of their two pictures, or more."""
        least = self._similarity[:, -1]
        return entries.at(entries.similarity >= np.minimum(least[entries.images], least[entries.others]))

    def add(self, entries: _Entries) -> None:
        """Add the entries, to both of their pictures."""
        images, others, similarity = entries
        both = _Entries(np.append(images, others), np.append(others, images), np.append(similarity, similarity))
        self._merge(both.at(both.similarity >= self._similarity[both.images, -1]))

    def chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """The pictures, and those most similar to them: [M] and [M]."""
        images, places = np.nonzero(self._others != _NOBODY)
        return images, self._others[images, places]

    def _merge(self, new: _Entries) -> None:
        changed = np.unique(new.images)
        old = _Entries(
            np.repeat(changed, MOST + _SPARE), self._others[changed].ravel(), self._similarity[changed].ravel()
        )
        every = _Entries(*map(np.append, old, new))
        every = every.at(np.lexsort((every.others, -every.similarity, every.images)))
        rank = _ranks(every.images)
        kept = rank < MOST + _SPARE
        images, others, similarity = every.at(kept)
        self._others[images, rank[kept]], self._similarity[images, rank[kept]] = others, similarity
