"""Whether an HDF5 file of weights is what it seems, before Keras reads it: Keras takes complex numbers for real ones,
and allocates what a small file claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py

# Of NumPy: floating-point and whole numbers, truths. Keras stores bfloat16 as two bytes that are no numbers.
_KINDS, _BFLOAT16 = "fiub", "V"
_MOST_EXPANSION, _FREE_BYTES = 100, 64 * 2**20  # of weights that are packed


def check(file: Path | BinaryIO) -> int:
    """How many weights a file holds, which are numbers, within it, and not far larger than it.

    Raises:
        ValueError: they are not; it says which.
        OSError: it is no HDF5 file.
    """
    count = claimed = stored = 0
    with h5py.File(file, "r") as opened:
        for name, weights in _weights(opened):
            _check_kind(name, weights)
            count += weights.size
            claimed += weights.nbytes
            stored += weights.id.get_storage_size()
    if claimed > _MOST_EXPANSION * stored + _FREE_BYTES:
        raise ValueError(f"its weights claim {claimed:,} bytes, and {stored:,} are there")
    return count


def _weights(opened: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Each array of the file, with its path; ValueError at a link, or at a group that holds itself."""
    groups, seen = [opened["/"]], set()
    while groups:
        group = groups.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            raise ValueError(f"its group {group.name!r} stands in several places")
        seen.add(address)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"it holds a link, {group.name.rstrip('/')}/{name}, in place of weights")
            part = group[name]
            if isinstance(part, h5py.Group):
                groups.append(part)
            elif isinstance(part, h5py.Dataset):
                yield part.name, part


def _check_kind(name: str, weights: h5py.Dataset) -> None:
    if weights.external or weights.is_virtual:
        raise ValueError(f"its weights {name} lie in another file")
    is_bfloat16 = weights.dtype.kind == _BFLOAT16 and weights.dtype.itemsize == 2 and not weights.dtype.fields
    if weights.shape is None or (weights.dtype.kind not in _KINDS and not is_bfloat16):
        raise ValueError(f"its weights {name} are no real numbers but {weights.dtype}")
