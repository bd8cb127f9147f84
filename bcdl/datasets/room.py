"""Whether a data set's images fit into memory, asked before the first is read or drawn."""

from __future__ import annotations

from bcdl.errors import UsageError
from bcdl.machine import hardware

_CHANNELS = 3
_GIB = 1024 * hardware.MIB


def check(count: int, size: int) -> None:
    """UsageError if so many images of so many pixels a side would need more memory than this process may use."""
    needed = _CHANNELS * count * size**2
    if needed > (there := hardware.memory_bytes()):
        raise UsageError(
            f"{count:,} images of {size:,}x{size:,} pixels need {needed / _GIB:,.1f} GiB of memory, and this process "
            f"may use {there / _GIB:,.1f} GiB; ask for fewer images, or a smaller --image-size"
        )
