"""Arrays that are mapped from files: rows of them are copied with no more of the file in memory than is needed."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterator

import numpy as np

_COPIED_BYTES = 8 * 2**20  # of the rows and of what the system reads around them, until pages are given back
_AROUND_BYTES = 2**16  # what Linux maps around a page that is looked at


def take(array: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """`array[chosen]`, a copy, for places [M] int.

    The pages of a mapped file count as a process's memory once they are looked at; here they are given back meanwhile.
    """
    if _mapping(array) is None:
        return array[chosen]
    rows = np.empty((len(chosen), *array.shape[1:]), array.dtype)
    for some in _few_pages(array, chosen):
        np.take(array, chosen[some], axis=0, out=rows[some], mode="wrap")  # by any other mode, not without a copy
        release(array)
    return rows


def _few_pages(array: np.ndarray, chosen: np.ndarray) -> Iterator[slice]:
    """The places in pieces, for each of which no more than `_COPIED_BYTES` of a mapped array are looked at, or a row.

    Of a row that lies near the one before, most is in pages that were looked at for that one.
    """
    row_bytes = array[:1].nbytes
    apart = np.abs(np.diff(chosen, prepend=chosen[:1])) * row_bytes
    seen = np.cumsum(np.minimum(apart, row_bytes + 2 * _AROUND_BYTES))
    ends = np.flatnonzero(np.diff(seen // _COPIED_BYTES)) + 1
    return itertools.starmap(slice, itertools.pairwise([0, *ends.tolist(), len(chosen)]))


def release(array: np.ndarray) -> None:
    """Give the memory of a mapped array back to the system, which reads the file again if it is looked at again."""
    mapping = _mapping(array)
    if mapping is not None and hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(array: object) -> mmap.mmap | None:
    """What maps the file that an array, or what it is a view of, lies in.

    None if it lies in memory, or may be written to: then what was written might be lost with its page.
    """
    while isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.base
    return array if isinstance(array, mmap.mmap) else None
