"""Hostile PNG, JPEG, TIFF, BMP, GIF and WebP files, and such as have an image's name and are none.

Those that must be read show `PIXELS`.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus import Hostile

WIDTH, HEIGHT = 20, 24
# A gradient, which JPEG keeps almost as it is.
PIXELS = np.stack(
    np.broadcast_arrays(
        np.linspace(30, 220, WIDTH)[None, :], np.linspace(40, 200, HEIGHT)[:, None], np.full((HEIGHT, WIDTH), 90.0)
    ),
    axis=-1,
).astype(np.uint8)
GREY = PIXELS[..., 0]
_BOMB = 48 * 2**20  # bytes that a few kilobytes unpack to
_CONTROL = b"\x1b]0;title\x07\r\nerror: forged\x00\x9b2J"


def encoded(kind: str, pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    """The pixels as a file of this kind."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes = b"", checksum: int | None = None) -> bytes:
    """A chunk of a PNG."""
    right = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", right if checksum is None else checksum)


_SIGNATURE, _END = b"\x89PNG\r\n\x1a\n", chunk(b"IEND")


def _header(width: int = WIDTH, height: int = HEIGHT, bits: int = 8, colour: int = 2, rest: bytes = bytes(3)) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, bits, colour) + rest)


def _rows(pixels: np.ndarray, filter_: int = 0) -> bytes:
    return b"".join(bytes([filter_]) + row.tobytes() for row in pixels)


def _png(*middle: bytes, header: bytes = _header(), end: bytes = _END) -> bytes:
    return _SIGNATURE + header + b"".join(middle) + end


_PACKED = zlib.compress(_rows(PIXELS))
_DATA = chunk(b"IDAT", _PACKED)


@functools.cache
def _bomb() -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(_BOMB // 2**20)) + packer.flush()


def pngs() -> Iterator[Hostile]:
    for name, width, height in (
        ("no-width", 0, HEIGHT),
        ("no-height", WIDTH, 0),
        ("most-width", 2**31 - 1, 1),
        ("negative-size", 2**32 - 1, 2**32 - 24),
        ("most-size", 2**31 - 1, 2**31 - 1),
        ("wide-as-a-bomb", 2**20, 2**10),
    ):
        yield Hostile(f"{name}.png", _png(_DATA, header=_header(width, height)))
    yield Hostile("taller-than-its-data.png", _png(_DATA, header=_header(WIDTH, 2 * HEIGHT)))
    yield Hostile("header-of-a-wrong-sum.png", _png(_DATA, header=_header()[:-1] + b"\x00"))
    yield Hostile("data-of-a-wrong-sum.png", _png(chunk(b"IDAT", _PACKED, 7)))
    yield Hostile("text-of-a-wrong-sum.png", _png(chunk(b"tEXt", b"a\x00b", 7), _DATA))
    yield Hostile("no-end.png", _png(_DATA, end=b""))
    yield Hostile("no-data.png", _png())
    yield Hostile("empty-data.png", _png(chunk(b"IDAT")))
    yield Hostile("data-cut.png", _png(chunk(b"IDAT", _PACKED[: len(_PACKED) // 2])))
    yield Hostile("data-cut-in-its-chunk.png", _png(_DATA)[:-40])
    yield Hostile("data-garbage.png", _png(chunk(b"IDAT", b"garbage" * 20)))
    yield Hostile("data-of-a-bomb.png", _png(chunk(b"IDAT", _bomb())), None)
    yield Hostile("two-headers.png", _png(_header(5000, 5000), _DATA))
    yield Hostile("short-header.png", _png(_DATA, header=chunk(b"IHDR", b"\x00\x00\x00\x14")))
    yield Hostile("no-header.png", _png(_DATA, header=b""))
    yield Hostile("chunk-of-2-GiB.png", _png(struct.pack(">I", 2**31 - 1) + b"IDAT" + _PACKED))
    yield Hostile("chunk-of-4-GiB.png", _png(struct.pack(">I", 2**32 - 1) + b"tEXt" + _PACKED))
    yield Hostile("3-bits.png", _png(_DATA, header=_header(bits=3)))
    yield Hostile("no-such-colours.png", _png(_DATA, header=_header(colour=5)))
    yield Hostile("no-such-interlacing.png", _png(_DATA, header=_header(rest=b"\x00\x00\x07")), None)
    yield Hostile("no-such-compression.png", _png(_DATA, header=_header(rest=b"\x01\x00\x00")), None)
    yield Hostile("no-such-filter.png", _png(chunk(b"IDAT", zlib.compress(_rows(PIXELS, 9)))))
    yield Hostile("interlaced-and-cut.png", _png(_DATA, header=_header(rest=b"\x00\x00\x01")))
    numbers = zlib.compress(_rows(GREY))
    palette = _header(colour=3)
    yield Hostile("no-palette.png", _png(chunk(b"IDAT", numbers), header=palette))
    yield Hostile("palette-too-short.png", _png(chunk(b"PLTE", bytes(6)), chunk(b"IDAT", numbers), header=palette))
    yield Hostile("palette-of-a-byte.png", _png(chunk(b"PLTE", b"a"), chunk(b"IDAT", numbers), header=palette))
    yield Hostile("profile-of-a-bomb.png", _png(chunk(b"iCCP", b"x\x00\x00" + _bomb()), _DATA), None)
    yield Hostile("text-of-a-bomb.png", _png(chunk(b"zTXt", b"x\x00\x00" + _bomb()), _DATA), None)
    international = b"x\x00\x01\x00\x00\x00" + _bomb()
    yield Hostile("international-text-of-a-bomb.png", _png(chunk(b"iTXt", international), _DATA), None)
    yield Hostile("text-with-control-characters.png", _png(chunk(b"tEXt", b"Title\x00" + _CONTROL), _DATA), True)
    yield Hostile("20000-chunks.png", _png(chunk(b"teSt") * 20_000, _DATA), True)
    yield Hostile("text-20000-times.png", _png(chunk(b"tEXt", b"a\x00b") * 20_000, _DATA), True)
    yield Hostile("no-gamma.png", _png(chunk(b"gAMA", bytes(4)), _DATA), True)
    yield Hostile("short-density.png", _png(chunk(b"pHYs", b"\x00"), _DATA), None)
    yield Hostile("transparency-too-long.png", _png(chunk(b"tRNS", bytes(999)), _DATA), None)
    turned = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x09\x00\x00\x00\x00\x00\x08"
    yield Hostile("turned-by-9.png", _png(chunk(b"eXIf", turned), _DATA), True)
    yield Hostile("animation-of-no-frames.png", _png(chunk(b"acTL", bytes(8)), _DATA), None)
    yield Hostile("animation-of-4-billion-frames.png", _png(chunk(b"acTL", b"\xff" * 8), _DATA), None)
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    yield Hostile("animation.png", encoded("PNG", save_all=True, append_images=frames[1:]), True)
    yield Hostile("signature-alone.png", _SIGNATURE)
    yield Hostile("sent-as-text.png", _png(_DATA).replace(b"\r\n", b"\n"))
    yield Hostile("archive-behind-it.png", _png(_DATA) + b"PK\x03\x04" + bytes(200), True)
    yield Hostile("16-bits.png", _deep_png(), True)


def _deep_png() -> bytes:
    deep = (PIXELS.astype(">u2") << 8).astype(">u2")
    return _png(chunk(b"IDAT", zlib.compress(_rows(deep))), header=_header(bits=16))


def _segment(marker: int, data: bytes, length: int | None = None) -> bytes:
    """A segment of a JPEG, of a length that may lie."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2 if length is None else length) + data


def _exif(entries: bytes, count: int, following: int = 0) -> bytes:
    directory = struct.pack(">H", count) + entries + struct.pack(">I", following)
    return _segment(0xE1, b"Exif\x00\x00MM\x00*\x00\x00\x00\x08" + directory)


def _without(content: bytes, marker: int) -> bytes:
    """A JPEG without its segments of a marker."""
    place, kept = 2, content[:2]
    while content[place + 1] != 0xDA:
        length = 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] != marker:
            kept += content[place : place + length]
        place += length
    return kept + content[place:]


def jpegs() -> Iterator[Hostile]:
    sound, progressive = encoded("JPEG", quality=95), encoded("JPEG", quality=95, progressive=True)
    frame, scan = sound.index(b"\xff\xc0"), sound.index(b"\xff\xda")
    yield Hostile("no-end.jpg", sound[:-2], None)
    yield Hostile("cut-in-its-scan.jpg", sound[: (scan + len(sound)) // 2])
    yield Hostile("progressive-and-cut.jpg", progressive[: int(0.7 * len(progressive))])
    yield Hostile("no-scan.jpg", sound[:scan] + b"\xff\xd9")
    yield Hostile("header-alone.jpg", sound[:20])
    yield Hostile("start-alone.jpg", b"\xff\xd8\xff")
    yield Hostile("start-and-end.jpg", b"\xff\xd8\xff\xd9")
    for name, at, value in (
        ("no-components", 9, b"\x00"),
        ("5-components", 9, b"\x05"),
        ("12-bits", 4, b"\x0c"),
        ("no-bits", 4, b"\x00"),
        ("no-size", 5, bytes(4)),
        ("no-width", 7, bytes(2)),
        ("most-size", 5, b"\xff" * 4),
        ("sampled-by-0", 11, b"\x00"),
        ("sampled-by-15", 11, b"\xff"),
    ):
        yield Hostile(f"{name}.jpg", sound[: frame + at] + value + sound[frame + at + len(value) :])
    for name, marker in (("lossless", 0xC3), ("of-no-kind", 0xC8)):
        yield Hostile(f"{name}.jpg", sound[: frame + 1] + bytes([marker]) + sound[frame + 2 :])
    yield Hostile("no-quantisation.jpg", _without(sound, 0xDB))
    yield Hostile("no-huffman-tables.jpg", _without(sound, 0xC4), None)
    yield Hostile("scan-of-garbage.jpg", sound[: scan + 14] + bytes(range(255)) * 3 + b"\xff\xd9", None)
    yield Hostile("scan-of-nothing.jpg", sound[: scan + 14] + b"\xff\xd9", None)
    yield Hostile("100000-fill-bytes.jpg", sound[:2] + b"\xff" * 100_000 + sound[3:], None)
    begin, rest = sound[:2], sound[2:]
    orientation = struct.pack(">HHIHH", 0x112, 3, 1, 9, 0)
    yield Hostile("turned-by-9.jpg", begin + _exif(orientation, 1) + rest, True)
    yield Hostile("directory-of-itself.jpg", begin + _exif(orientation, 1, following=8) + rest, None)
    of_itself = struct.pack(">HHII", 0x8769, 4, 1, 8)
    yield Hostile("exif-in-itself.jpg", begin + _exif(of_itself, 1) + rest, None)
    yield Hostile("exif-of-65535-entries.jpg", begin + _exif(orientation, 65_535) + rest, None)
    thumbnail = struct.pack(">HHII", 0x201, 4, 1, 2**31) + struct.pack(">HHII", 0x202, 4, 1, 2**32 - 1)
    yield Hostile("thumbnail-of-4-GiB.jpg", begin + _exif(b"", 0, 14) + thumbnail + rest, None)
    huge = struct.pack(">HHII", 0x10E, 2, 2**32 - 1, 8)
    yield Hostile("exif-text-of-4-GiB.jpg", begin + _exif(huge, 1) + rest, None)
    yield Hostile("exif-of-garbage.jpg", begin + _segment(0xE1, b"Exif\x00\x00" + b"garbage" * 9) + rest, None)
    yield Hostile("comment-with-control-characters.jpg", begin + _segment(0xFE, _CONTROL) + rest, True)
    profile = b"ICC_PROFILE\x00\x01\xff" + b"garbage" * 9
    yield Hostile("profile-of-garbage.jpg", begin + _segment(0xE2, profile) + rest, True)
    yield Hostile("segment-too-long.jpg", begin + _segment(0xFE, b"a", 65_535) + rest)
    yield Hostile("segment-of-no-length.jpg", begin + _segment(0xFE, b"", 0) + rest, None)
    yield Hostile("many-pictures-that-are-none.jpg", begin + _segment(0xE2, b"MPF\x00garbage" * 5) + rest, None)
    ink = Image.fromarray(PIXELS).convert("CMYK")
    stream = io.BytesIO()
    ink.save(stream, "JPEG", quality=95)
    yield Hostile("inks.jpg", stream.getvalue(), None)
    yield Hostile("inks-of-no-transform.jpg", stream.getvalue().replace(b"Adobe\x00d", b"Adobe\x00\xff"), None)


Entry = tuple[int, int, int, bytes]  # tag, type, count, and the value or its place


def _tiff(entries: Sequence[Entry], data: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF of one directory, behind which `data` lies."""
    directory = struct.pack("<H", len(entries))
    for tag, kind, count, value in sorted(entries, key=lambda entry: entry[0]):
        directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\x00")[:4]
    return b"II*\x00\x08\x00\x00\x00" + directory + struct.pack("<I", following) + data


def _long(tag: int, value: int, count: int = 1) -> Entry:
    return tag, 4, count, struct.pack("<I", value % 2**32)


def _grey_tiff(data: bytes = GREY.tobytes(), following: int = 0, **changed: Entry | None) -> bytes:
    """A TIFF of grey pixels, of which some entries are others or missing."""
    entries: dict[str, Entry | None] = {
        "width": _long(256, WIDTH),
        "height": _long(257, HEIGHT),
        "bits": _long(258, 8),
        "compression": _long(259, 1),
        "photometric": _long(262, 1),
        "offsets": _long(273, 0),
        "samples": _long(277, 1),
        "rows": _long(278, HEIGHT),
        "counts": _long(279, len(data)),
    }
    entries |= changed
    kept = [entry for entry in entries.values() if entry]
    place = 8 + 2 + 12 * len(kept) + 4
    if "offsets" not in changed:
        kept = [_long(273, place) if entry[0] == 273 else entry for entry in kept]
    return _tiff(kept, data, following)


def tiffs() -> Iterator[Hostile]:
    for name, changed in {
        "no-width": {"width": _long(256, 0)},
        "negative-width": {"width": _long(256, -1)},
        "most-size": {"width": _long(256, 2**31 - 1), "height": _long(257, 2**31 - 1)},
        "taller-than-its-data": {"height": _long(257, 4 * HEIGHT), "rows": _long(278, 4 * HEIGHT)},
        "no-bits": {"bits": _long(258, 0)},
        "64-bits": {"bits": _long(258, 64)},
        "no-samples": {"samples": _long(277, 0)},
        "1000-samples": {"samples": _long(277, 1000)},
        "no-such-compression": {"compression": _long(259, 65_000)},
        "packed-garbage": {"compression": _long(259, 8)},
        "jpeg-of-garbage": {"compression": _long(259, 7)},
        "words-of-garbage": {"compression": _long(259, 5)},
        "no-such-colours": {"photometric": _long(262, 99)},
        "strips-outside": {"offsets": _long(273, 2**31)},
        "strips-4-billion": {"offsets": _long(273, 8, 2**32 - 1), "counts": _long(279, 8, 2**32 - 1)},
        "no-strips": {"offsets": None},
        "no-width-said": {"width": None},
        "type-of-no-kind": {"width": (256, 99, 1, b"\x14")},
        "width-as-text": {"width": (256, 2, 4, b"20\x00\x00")},
        "width-a-fraction": {"width": (256, 5, 1, b"\x08\x00\x00\x00")},
    }.items():
        yield Hostile(f"{name}.tif", _grey_tiff(**changed))
    for name, changed in {
        "tiles-of-no-size": {"tile": _long(322, 0), "tile_length": _long(323, 0), "tiles": _long(324, 8)},
        "tiles-of-2-GiB": {"tile": _long(322, 2**31), "tile_length": _long(323, 2**31), "tiles": _long(324, 8)},
        "tiles-without-length": {"tile": _long(322, 16), "tiles": _long(324, 8)},
        "fax-of-garbage": {"compression": _long(259, 4), "bits": _long(258, 1)},
        "turned-by-9": {"turn": _long(274, 9)},
        "rows-4-billion": {"rows": _long(278, 2**32 - 1)},
        "text-of-4-GiB": {"text": (270, 2, 2**32 - 1, b"\x08")},
        "directory-in-itself": {"sub": _long(330, 8)},
        "exif-in-itself": {"exif": _long(34_665, 8)},
        "no-such-predictor": {"predictor": _long(317, 9)},
        "profile-outside": {"profile": (34_675, 7, 2**30, b"\xff\xff\xff\x7f")},
    }.items():
        yield Hostile(f"{name}.tif", _grey_tiff(**changed), None)
    yield Hostile("page-of-itself.tif", _grey_tiff(following=8), None)
    yield Hostile("page-outside.tif", _grey_tiff(following=2**31), None)
    yield Hostile("directory-outside.tif", b"II*\x00\xff\xff\xff\x7f" + bytes(50))
    yield Hostile("directory-of-65535-entries.tif", b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(50))
    yield Hostile("no-directory.tif", b"II*\x00\x00\x00\x00\x00")
    yield Hostile("empty-directory.tif", _tiff([]))
    yield Hostile("big-and-lying.tif", b"II+\x00\x08\x00\x00\x00" + b"\xff" * 8 + bytes(50))
    yield Hostile("width-twice.tif", _grey_tiff(again=_long(256, 2**30)), None)
    floats = np.full((HEIGHT, WIDTH), np.nan, "<f4")
    of_floats = {"bits": _long(258, 32), "format": _long(339, 3)}
    yield Hostile("not-a-number.tif", _grey_tiff(floats.tobytes(), **of_floats), says="no known scale")
    yield Hostile("infinite.tif", _grey_tiff((floats * 0 + np.inf).tobytes(), **of_floats), says="no known scale")
    of_doubles = {"bits": _long(258, 64), "format": _long(339, 3)}
    yield Hostile("doubles.tif", _grey_tiff(floats.astype("<f8").tobytes(), **of_doubles))
    of_complex = {"bits": _long(258, 64), "format": _long(339, 6)}
    yield Hostile("complex.tif", _grey_tiff(floats.astype("<c8").tobytes(), **of_complex))
    signed = {"bits": _long(258, 32), "format": _long(339, 2)}
    yield Hostile("negative-levels.tif", _grey_tiff(np.full((HEIGHT, WIDTH), -7, "<i4").tobytes(), **signed))
    yield Hostile("packed-bomb.tif", _grey_tiff(_bomb(), compression=_long(259, 8)), None)
    pages = [Image.fromarray(255 - PIXELS)] * 3
    yield Hostile("4-pages.tif", encoded("TIFF", save_all=True, append_images=pages), True)
    yield Hostile("sound-in-words.tif", encoded("TIFF", compression="tiff_lzw"), True)
    yield Hostile("cut-in-words.tif", encoded("TIFF", compression="tiff_lzw")[:200])


def _bmp(**changed: int) -> bytes:
    """A BMP of 24 bits, some of whose fields are others."""
    fields = {"size": 40, "width": WIDTH, "height": HEIGHT, "planes": 1, "bits": 24, "packed": 0, "used": 0, "at": 54}
    fields |= changed
    rows = np.ascontiguousarray(PIXELS[::-1, :, ::-1]).tobytes()
    header = struct.pack(
        "<IiiHHIIiiII",
        *(fields[name] for name in ("size", "width", "height", "planes", "bits", "packed")),
        len(rows),
        2835,
        2835,
        fields["used"],
        0,
    )
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, fields["at"]) + header + rows


def bmps() -> Iterator[Hostile]:
    yield Hostile("sound.bmp", _bmp(), True)
    for name, changed in {
        "negative-width": {"width": -WIDTH},
        "least-height": {"height": -(2**31)},
        "most-size": {"width": 2**31 - 1, "height": 2**31 - 1},
        "no-size": {"width": 0, "height": 0},
        "taller-than-its-data": {"height": 9 * HEIGHT},
        "7-bits": {"bits": 7},
        "no-bits": {"bits": 0},
        "header-of-3-bytes": {"size": 3},
        "header-of-4-GiB": {"size": 2**32 - 1},
        "no-such-packing": {"packed": 77},
        "data-outside": {"at": 2**31},
    }.items():
        yield Hostile(f"{name}.bmp", _bmp(**changed))
    yield Hostile("data-in-the-header.bmp", _bmp(at=10), None)
    yield Hostile("no-planes.bmp", _bmp(planes=0), None)
    yield Hostile("colours-4-billion.bmp", _bmp(bits=8, used=2**32 - 1))
    yield Hostile("packed-garbage.bmp", _bmp(bits=8, packed=1), None)
    yield Hostile("masks-of-nothing.bmp", _bmp(bits=32, packed=3))
    yield Hostile("cut.bmp", _bmp()[:300])
    yield Hostile("header-alone.bmp", _bmp()[:54])


def gifs() -> Iterator[Hostile]:
    sound = encoded("GIF", GREY)
    screen = sound[6:13]
    colours = 13 + 3 * 2 ** ((sound[10] & 7) + 1)  # where the table of colours ends
    picture = sound.index(b"\x2c", colours)
    yield Hostile("no-frames.gif", sound[:colours] + b";")
    yield Hostile("header-alone.gif", sound[:6])
    yield Hostile("no-size.gif", sound[:6] + bytes(4) + screen[4:] + sound[13:], None)
    yield Hostile("most-screen.gif", sound[:6] + b"\xff" * 4 + screen[4:] + sound[13:])
    most = sound[: picture + 5] + b"\xff" * 4 + sound[picture + 9 :]
    yield Hostile("most-frame.gif", most)
    yield Hostile("frame-of-no-size.gif", sound[: picture + 5] + bytes(4) + sound[picture + 9 :], None)
    yield Hostile("frame-outside.gif", sound[: picture + 1] + b"\xff" * 4 + sound[picture + 5 :])
    yield Hostile("codes-of-13-bits.gif", sound[: picture + 10] + b"\x0d" + sound[picture + 11 :])
    yield Hostile("codes-of-garbage.gif", sound[: picture + 11] + b"\x05garba\x00;", None)
    yield Hostile("cut.gif", sound[: (picture + len(sound)) // 2])
    yield Hostile("no-end.gif", sound[:-1], None)
    comment = b"!\xfe" + bytes([len(_CONTROL)]) + _CONTROL + b"\x00"
    yield Hostile("comment-with-control-characters.gif", sound[:colours] + comment + sound[colours:], None)
    frames = [Image.fromarray(GREY + shift) for shift in range(1, 60)]
    yield Hostile("60-frames.gif", encoded("GIF", GREY, save_all=True, append_images=frames), None)


def webps() -> Iterator[Hostile]:
    lossy, exact = encoded("WEBP", quality=100), encoded("WEBP", lossless=True)
    yield Hostile("exact.webp", exact, True)
    yield Hostile("cut.webp", lossy[: len(lossy) // 2])
    yield Hostile("exact-and-cut.webp", exact[: len(exact) // 2])
    yield Hostile("size-of-4-GiB.webp", lossy[:4] + b"\xff" * 4 + lossy[8:], None)
    yield Hostile("size-of-nothing.webp", lossy[:4] + bytes(4) + lossy[8:])
    yield Hostile("chunk-of-4-GiB.webp", lossy[:16] + b"\xff" * 4 + lossy[20:])
    yield Hostile("garbage-behind-its-head.webp", exact[:24] + b"garbage" * 20)
    yield Hostile("header-alone.webp", lossy[:12])
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6
    yield Hostile("canvas-of-2^48.webp", b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas)
    animated = encoded("WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    yield Hostile("animation.webp", animated, True)


def _postscript(sprung: str) -> bytes:
    """An EPS file that makes a file, if a program runs it."""
    page = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 {WIDTH} {HEIGHT}\n%%EndComments\n"
    return (page + f"({sprung}) (w) file closefile\nshowpage\n%%EOF\n").encode()


def others(sprung: str) -> Iterator[Hostile]:
    """Files that have an image's name; `sprung` is what their code would make."""
    entity = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{sprung}">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>'
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    for name, content in {
        "nothing.png": b"",
        "a-byte.jpg": b"\xff",
        "zeros.png": bytes(65_536),
        "text.png": b"not an image\n",
        "page.png": b"<!doctype html><script>alert(1)</script>",
        "drawing.png": entity.encode(),
        "drawing-of-a-bomb.png": f'<!DOCTYPE svg [<!ENTITY a0 "ha">{laughs}]><svg>&a9;</svg>'.encode(),
        "postscript.png": _postscript(sprung),
        "postscript.tif": b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 30, 200, 0, 0, 0, 0) + _postscript(sprung),
        "document.png": b"%PDF-1.7\n1 0 obj<</S/Launch/F(" + sprung.encode() + b")>>endobj\n%%EOF",
        "program.png": b"\x7fELF\x02\x01\x01" + bytes(100),
        "script.png": f"#!/bin/sh\ntouch {sprung}\n".encode(),
        "pickle.png": b"\x80\x04cos\nmkdir\n(V" + sprung.encode() + b"\ntR.",
        "archive.png": b"PK\x03\x04" + bytes(100),
        "windows-metafile.png": b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(100),
        "icons.png": b"\x00\x00\x01\x00\xff\xff" + b"\x00" * 200,
        "jpeg-2000-of-garbage.jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x00jp2h" * 9,
        "jpeg-2000-box-of-itself.jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x01jp2h" + bytes(8),
        "no-size.pgm": b"P5 0 0 255\n",
        "negative-size.pgm": b"P5 -4 -4 255\n" + bytes(16),
        "most-size.pgm": b"P5 99999999 99999999 255\n",
        "size-of-4000-digits.pgm": b"P5 " + b"9" * 4000 + b" 4 255\n",
        "no-levels.ppm": b"P6 4 4 0\n" + bytes(48),
        "levels-too-many.ppm": b"P6 4 4 65536\n" + bytes(96),
        "cut.ppm": b"P6 20 24 255\n" + PIXELS.tobytes()[:100],
        "words-of-no-number.ppm": b"P3 2 2 255\none two three",
    }.items():
        yield Hostile(name, content)
    yield Hostile("jpeg.png", encoded("JPEG", quality=95), True)
    yield Hostile("png.jpg", encoded("PNG"), True)
