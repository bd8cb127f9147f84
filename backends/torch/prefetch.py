"""Batches that are on the GPU before the step that takes them.

Each is written into pinned memory, from which a GPU copies while it computes, and copied on a stream of its own
(https://docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html). Pinned memory is slow to get, so that a few
buffers are used in turn; one is written again only after the copy from it has ended.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch

# Copied before they are asked for.
AHEAD = 2

Arrays = tuple[np.ndarray, ...]
Tensors = tuple[torch.Tensor, ...]


class Copier(Protocol):
    """What copies to a device; `Gpu`, or a stand-in of tests."""

    def buffer(self, array: np.ndarray) -> torch.Tensor:
        """Memory of the host for an array of that shape and dtype."""

    def start(self, buffers: Tensors) -> tuple[Tensors, Any]:
        """Begin to copy the buffers; new tensors of the device, and an event: `synchronize` waits for the copies."""

    def finish(self, tensors: Tensors, copied: Any) -> None:
        """Have the device's work from now on wait for the copies; the host does not."""


class Gpu:
    """Copies to the current GPU on a stream of its own."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    def buffer(self, array: np.ndarray) -> torch.Tensor:
        return torch.empty(array.shape, dtype=torch.as_tensor(array).dtype, pin_memory=True)

    def start(self, buffers: Tensors) -> tuple[Tensors, torch.cuda.Event]:
        with torch.cuda.stream(self._stream):
            tensors = tuple(buffer.to("cuda", non_blocking=True) for buffer in buffers)
            copied = torch.cuda.Event()
            copied.record()
        return tensors, copied

    def finish(self, tensors: Tensors, copied: torch.cuda.Event) -> None:
        computing = torch.cuda.current_stream()
        computing.wait_event(copied)
        # Else its memory, which the other stream owns, might be given away while it is computed on.
        for tensor in tensors:
            tensor.record_stream(computing)


@dataclasses.dataclass
class _Buffers:
    """Memory of the host for one batch, and the event of the last copy from it."""

    tensors: Tensors
    copied: Any = None


def ahead(batches: Iterable[Arrays], copier: Copier) -> Iterator[Tensors]:
    """The batches, all of one shape, as tensors of the device; the next `AHEAD` of them are on their way there."""
    ring: collections.deque[_Buffers] = collections.deque()
    under_way: collections.deque[tuple[Tensors, Any]] = collections.deque()
    for arrays in batches:
        under_way.append(_start(arrays, ring, copier))
        if len(under_way) > AHEAD:
            yield _finish(under_way, copier)
    while under_way:
        yield _finish(under_way, copier)


def _start(arrays: Arrays, ring: collections.deque[_Buffers], copier: Copier) -> tuple[Tensors, Any]:
    """Copy the arrays by way of the buffers that were not used for longest."""
    if len(ring) <= AHEAD:
        buffers = _Buffers(tuple(copier.buffer(array) for array in arrays))
    else:
        buffers = ring.popleft()
        buffers.copied.synchronize()
    for buffer, array in zip(buffers.tensors, arrays, strict=True):
        buffer.numpy()[...] = array
    tensors, buffers.copied = copier.start(buffers.tensors)
    ring.append(buffers)
    return tensors, buffers.copied


def _finish(under_way: collections.deque[tuple[Tensors, Any]], copier: Copier) -> Tensors:
    tensors, copied = under_way.popleft()
    copier.finish(tensors, copied)
    return tensors
