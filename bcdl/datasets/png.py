"""Whether a PNG file is whole: Pillow overlooks wrong checksums of pixels, and makes rows black that a file lacks.

The format is that of the specification, PNG (third edition), https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
# Of each of the seven passes of an interlaced image: its first column and row, and the steps to the next ones.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_STEP = 2**16  # bytes that are unpacked at a time


def check(content: bytes) -> None:
    """ValueError, with the reason, if the PNG file lacks its end or pixels, or a checksum of it is wrong."""
    header: bytes | memoryview = b""
    packed = []
    for kind, data in _chunks(content):
        if kind == b"IHDR":
            header = data
        elif kind == b"IDAT":
            packed.append(data)
    if len(header) != 13:
        raise ValueError("not a readable image (a PNG file without a header)")
    needed = _needed(header)
    if (there := _unpacked(packed, needed)) < needed:
        raise ValueError(
            f"not a readable image (a PNG file that lacks pixels: {there:,} of {needed:,} bytes are there)"
        )


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The kind and the data of each chunk up to the last; ValueError if that is missing or a checksum is wrong."""
    place, view, kind = len(SIGNATURE), memoryview(content), b""
    while kind != b"IEND":
        length = int.from_bytes(view[place : place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(view):
            raise ValueError("not a readable image (a PNG file that is cut)")
        kind = bytes(view[place + 4 : place + 8])
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError(f"not a readable image (a damaged PNG file: the checksum of its part {kind!r} is wrong)")
        yield kind, view[place + 8 : end]
        place = end + 4


def _needed(header: bytes | memoryview) -> int:
    """The bytes that the pixels take once they are unpacked, with a byte of each row for its filter."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits_each = bits * _CHANNELS.get(colour, 0)
    total = 0
    for column, row, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        wide, high = -((column - width) // across), -((row - height) // down)
        total += high * (1 + (wide * bits_each + 7) // 8) if wide > 0 and high > 0 else 0
    return total


def _unpacked(packed: list[memoryview], most: int) -> int:
    """How many bytes the packed ones unpack to, if those are no more than `most`; those before an error count."""
    unpacker, total = zlib.decompressobj(), 0
    try:
        for part in packed:
            rest: bytes | memoryview = part
            while rest and total < most:
                total += len(unpacker.decompress(rest, _STEP))
                rest = unpacker.unconsumed_tail
    except zlib.error:
        pass  # Pillow says what is wrong
    return total
