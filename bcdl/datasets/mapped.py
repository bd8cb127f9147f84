"""Arrays that are mapped from files: rows of them are copied with no more of the file in memory than is needed."""

from __future__ import annotations

import mmap

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
    step = max(1, _COPIED_BYTES // (array[:1].nbytes + 2 * _AROUND_BYTES))
    for start in range(0, len(chosen), step):
        rows[start : start + step] = array[chosen[start : start + step]]
        release(array)
    return rows


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
