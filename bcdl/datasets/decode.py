"""Image files to square uint8 arrays: in parallel, with progress, cached by content."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import functools
import hashlib
import io
import itertools
import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import PIL
from PIL import Image

from bcdl.datasets import cache, dicom, pixels, png, room
from bcdl.datasets.fingerprint import FINGERPRINT, MARKS, Fingerprinted, fingerprint
from bcdl.datasets.fingerprint import RULES as FINGERPRINT_RULES
from bcdl.datasets.progress import Shown
from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.text import encodable

_OF_PILLOW = ".png .jpg .jpeg .jpe .jfif .tif .tiff .bmp .dib .webp .gif .pgm .ppm .pbm .pnm .jp2"
EXTENSIONS = frozenset(_OF_PILLOW.split()) | dicom.EXTENSIONS
# By their content, whatever a file is called. Pillow reads more, some of it by other programs: it has Ghostscript run
# the PostScript of what is called x.png.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "GIF", "PPM", "JPEG2000")
# 40 times a micrograph of 1,600 x 1,000 pixels; a file that claims more is a mistake or a decompression bomb.
MOST_PIXELS = 64_000_000
_RULES = 3  # raise when the decoding below, or of `pixels` or `dicom`, changes, so that old cache entries are not used
_SHOWN = 5  # unreadable files that a message names
MOST_FILE_BYTES = 2**30  # as many pixels as may be, of four channels of 16 bits, not compressed, take half of it
_MOST_IN_CHUNK, _CHUNK_BYTES = 32, 2**20  # images that a thread reads at a time, and bytes of what is made of them
# A file that was changed so short a time before it was read may be changed again and have the same times: its clock has
# steps. It is read once more.
_SETTLED_NS = 2_000_000_000
_FILTERS = threading.RLock()  # of who changes the filters of warnings

Convert = Callable[[Image.Image], np.ndarray]
Make = Callable[[bytes, Path], np.ndarray]
Result = TypeVar("Result")
# What tells without reading a file whether it was changed: device, inode, size, and when content and status were.
_Status = tuple[int, int, int, int, int]


class _Kind(NamedTuple):
    """What is made of an image file's content: an array of `dtype` and shape `row`."""

    name: str
    dtype: np.dtype
    row: tuple[int, ...]
    make: Make


class _Converted(NamedTuple):
    """What was made of files: an array [M, ...] of the readable ones, and why the others can't be read, by index.

    `digests` are of all, in order; `key` is that of the cache, empty if it has no entry since some can't be read.
    """

    images: np.ndarray
    failures: dict[int, str]
    digests: list[bytes]
    key: str


# Of each file that `survey` has last read in this process, the digest of its content, and its status before that, if
# it tells a change.
_surveyed: dict[Path, tuple[bytes, _Status | None]] = {}


def is_image(file: Path) -> bool:
    """Whether the file is an image by its name, or, without a suffix, by its beginning."""
    return file.suffix.lower() in EXTENSIONS or dicom.is_dicom(file)


def survey(files: Sequence[Path], names: Sequence[str], grey_bits: int) -> pixels.Survey:
    """What a first look at all files of a set finds: the depth by which they are to be read, and what to tell of it.

    `names` stand for the files in messages; `grey_bits` is the depth that a person gave, or 0. What can't be read is
    passed over.

    Raises:
        UsageError: a level is above the given depth, the images would be almost black, or DICOM can't be read here.
    """
    kind = _Kind(f"look {pixels.RULES}", pixels.LOOK, (), _look)
    now, before = time.time_ns(), _statuses(files)
    looks, failures, digests, _ = _convert_all(files, before, kind)
    _surveyed.clear()
    for file, digest, status in zip(files, digests, before, strict=True):
        _surveyed[file] = digest, status if status and _is_settled(status, now) else None
    return pixels.survey(looks, [names[index] for index in _readable(files, failures)], grey_bits)


def decode(
    files: Sequence[Path], names: Sequence[str], size: int, skip_unreadable: bool, depth: pixels.Depth
) -> tuple[np.ndarray, np.ndarray]:
    """The images of `files` as [M, size, size, 3] uint8, and the [M] indices of those that could be read.

    `names` stand for the files in messages; `depth` is what `survey` found.

    Raises:
        UsageError: images are unreadable, and `skip_unreadable` is not set; it counts and names them. Or files have
            changed since `survey` has read them, or all images would need more memory than there is.
    """
    room.check(len(files), size)
    make = _maker(lambda image: resize(image, size), depth)
    kind = _Kind(f"{size} {_words(depth)}", np.dtype(np.uint8), (size, size, 3), make)
    images, failures, digests, _ = _convert_all(files, _statuses(files), kind)
    _check_unchanged(files, digests)
    if failures and not skip_unreadable:
        raise UsageError(_describe(failures, names) + "; remove or repair them, or use --skip-unreadable")
    return images, _readable(files, failures)


def read_fingerprints(files: Sequence[Path], depth: pixels.Depth) -> tuple[Fingerprinted, np.ndarray]:
    """The fingerprints of `files`, and the [M] indices of those that could be read; `depth` is what `survey` found.

    If the cache has their marks, the rest is not read before it is asked for.

    Raises:
        UsageError: files have changed since `survey` has read them in this process; it counts and names them. So may
            reading the rest.
    """
    kind = _Kind(f"fingerprint {FINGERPRINT_RULES} {_words(depth)}", FINGERPRINT, (), _maker(fingerprint, depth))
    of_marks = kind._replace(name=f"marks of {kind.name}", dtype=MARKS)
    statuses = _statuses(files)
    digests = _known_digests(files, statuses, of_marks)
    marks = None if digests is None else _cached(files, of_marks, digests)
    if marks is None or digests is None:
        made = _convert_all(files, statuses, kind)
        _check_unchanged(files, made.digests)
        fingerprints = Fingerprinted.of(made.images, made.key)
        if not made.failures:
            cache.write(_key(of_marks, made.digests), fingerprints.marks)
            cache.write_facts(_key_of_sizes(of_marks, statuses), True)
        return fingerprints, _readable(files, made.failures)
    _check_unchanged(files, digests)

    def greys() -> np.ndarray:
        made = _convert_all(files, _statuses(files), kind)
        _refuse_changes(files, digests, made.digests)
        return made.images["grey"]

    return Fingerprinted(marks, greys, _key(kind, digests)), np.arange(len(files))


def _check_unchanged(files: Sequence[Path], digests: Sequence[bytes]) -> None:
    """UsageError if files are others than `survey` has read; what could not be read, then or now, is told elsewhere."""
    before = [_surveyed.get(file, (b"", None))[0] for file in files]
    _refuse_changes(files, before, [new or old for old, new in zip(before, digests, strict=True)])


def _refuse_changes(files: Sequence[Path], before: Sequence[bytes], now: Sequence[bytes]) -> None:
    """UsageError if digests of files are others than before, if they were known."""
    changed = [file for file, old, new in zip(files, before, now, strict=True) if old and old != new]
    if changed:
        named = ", ".join(repr(encodable(file.name)) for file in changed[:_SHOWN])
        count = "1 image" if len(changed) == 1 else f"{len(changed)} images"
        more = " and others" if len(changed) > _SHOWN else ""
        raise UsageError(f"{count} changed while the data was read ({named}{more}); run again on data that stays")


def read_image(file: Path, size: int, depth: pixels.Depth = pixels.OWN_DEPTH) -> np.ndarray:
    """One image file as [size, size, 3] uint8; ValueError, with the reason, if it can't be read."""
    return _convert_file(file, lambda image: resize(image, size), depth)


def read_picture(file: Path, longest: int, depth: pixels.Depth = pixels.OWN_DEPTH) -> np.ndarray:
    """One image file in its own proportions, [H, W, 3] uint8, no side over `longest` pixels; ValueError as above."""
    return _convert_file(file, lambda image: _thumbnail(image, longest), depth)


def _words(depth: pixels.Depth) -> str:
    """The depth as a part of what the cache knows an entry by."""
    return f"grey {depth.bits}{' given' if depth.given else ''}"


def _thumbnail(image: Image.Image, longest: int) -> np.ndarray:
    image.thumbnail((longest, longest))
    return np.asarray(image)


def _convert_file(file: Path, convert: Convert, depth: pixels.Depth) -> np.ndarray:
    """What `convert` makes of the file's RGB image; ValueError, with the reason, if it can't be read."""
    with _quiet():
        return _maker(convert, depth)(_read(file), file)


def _read(file: Path) -> bytes:
    """The content of a file, read at once, so that what is decoded is what was hashed; ValueError if it can't be."""
    try:
        # By the system's own calls: of a small file, Python's take longer than to read it.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            if (size := os.fstat(descriptor).st_size) > MOST_FILE_BYTES:
                raise ValueError(f"{size:,} bytes, over the limit of {MOST_FILE_BYTES:,}")
            return b"".join(iter(lambda: os.read(descriptor, size + 1), b""))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ValueError(f"not a readable file ({error.strerror or error})") from error


def _maker(convert: Convert, depth: pixels.Depth) -> Make:
    """What makes of a file's content what `convert` makes of its RGB image; ValueError, with the reason, if not."""

    def make(content: bytes, file: Path) -> np.ndarray:
        if dicom.is_dicom(file):
            return _guarded(file, lambda: convert(dicom.read(content, depth, MOST_PIXELS)))
        return _open(content, file, lambda image: convert(pixels.to_rgb(image, depth)))

    return make


def _look(content: bytes, file: Path) -> np.ndarray:
    """The look at a file, an array of no dimensions and dtype `pixels.LOOK`; ValueError, with the reason, if not."""
    if dicom.is_dicom(file):
        return _guarded(file, lambda: dicom.look(content))
    return _open(content, file, pixels.look)


def _open(content: bytes, file: Path, use: Convert) -> np.ndarray:
    """What `use` makes of the image in a file's content, of which no pixels are decoded yet; ValueError as above."""
    stream = io.BytesIO(content)

    def made() -> np.ndarray:
        with Image.open(stream, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, over the limit of {MOST_PIXELS:,}")
            if image.format == "PNG":
                png.check(content)
            return use(image)

    return _guarded(file, made, repr(stream))


def _guarded(file: Path, make: Callable[[], np.ndarray], alias: str = "") -> np.ndarray:
    """What `make` gives; ValueError, on one line, whatever it fails with. Decoders may call the file by an alias."""
    try:
        return make()
    except Image.DecompressionBombError as error:
        raise ValueError(f"too many pixels to be an image ({error})") from error
    except UsageError:
        raise
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except Exception as error:  # decoders raise all kinds of errors on broken bytes
        reason = " ".join(str(error).replace(alias or file.name, repr(file.name)).split())
        raise ValueError(f"not a readable image ({type(error).__name__}: {reason})") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of decoders: of bombs, which are refused at a lower bound, and of tags that are unknown.

    Python has one list of filters for all threads: so it is set once around all that decode, never by each of them.
    """
    _silence_decoders()
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.cache
def _silence_decoders() -> None:
    """Have Pillow, its libtiff and pydicom write nothing of broken files to stderr: the error that they raise says it.

    libtiff writes there by itself, unless it is told otherwise. If it is a part of Pillow's own library, it can't be.
    """
    for name in ("PIL", "pydicom"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    library = ctypes.CDLL(Image.core.__file__)
    for setter in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        with contextlib.suppress(AttributeError):
            getattr(library, setter)(None)


def resize(image: Image.Image, size: int) -> np.ndarray:
    """An RGB image as [size, size, 3] uint8, sides scaled each on its own as the source study did."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _convert_all(files: Sequence[Path], statuses: Sequence[_Status | None], kind: _Kind) -> _Converted:
    """What `kind` makes of each readable file, whose statuses were taken before; cached if all can be read."""
    digests = _known_digests(files, statuses, kind)
    if digests is not None and (images := _cached(files, kind, digests)) is not None:
        return _Converted(images, {}, digests, _key(kind, digests))
    with cache.Rows(kind.dtype, kind.row, len(files)) as rows:
        digests, failures = _decode_all(files, kind, rows)
        key = "" if failures else _key(kind, digests)
        images = rows.finish(key or None)
    if not failures:
        cache.write_facts(_key_of_sizes(kind, statuses), True)
    return _Converted(images, failures, digests, key)


def _known_digests(files: Sequence[Path], statuses: Sequence[_Status | None], kind: _Kind) -> list[bytes] | None:
    """The digests of files that may be in the cache.

    None if they are of other sizes than all before: those were never decoded, and need not be read once more for their
    digests.
    """
    return None if cache.read_facts(_key_of_sizes(kind, statuses)) is None else _digests(files, statuses)


def _cached(files: Sequence[Path], kind: _Kind, digests: Sequence[bytes]) -> np.ndarray | None:
    images = cache.read(_key(kind, digests), kind.dtype, kind.row)
    return images if images is not None and len(images) == len(files) else None


def _key(kind: _Kind, digests: Sequence[bytes]) -> str:
    """The key of what is made of all files; there is none if one can't be read, and has no digest."""
    return cache.key_of(_rules(kind), b"".join(digests))


def _key_of_sizes(kind: _Kind, statuses: Sequence[_Status | None]) -> str:
    sizes = [str(status[2]) if status else "unknown" for status in statuses]
    return cache.key_of(_rules(kind), "sizes", " ".join(sizes))


def _rules(kind: _Kind) -> str:
    return f"{_RULES} {PIL.__version__} {dicom.versions()}{kind.name}"


def _statuses(files: Sequence[Path]) -> list[_Status | None]:
    """The status of each file, None if it has none."""
    return list(map(_status, files))


def _status(file: Path) -> _Status | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_settled(status: _Status, now_ns: int) -> bool:
    """Whether any change from now on, when the status was taken, would change it."""
    *_, written_ns, changed_ns = status
    return written_ns < now_ns - _SETTLED_NS > changed_ns


def _readable(files: Sequence[Path], failures: dict[int, str]) -> np.ndarray:
    return np.array([i for i in range(len(files)) if i not in failures], dtype=np.int64)


def _digests(files: Sequence[Path], statuses: Sequence[_Status | None]) -> list[bytes]:
    """The digest of each file's content; empty bytes, which no content has, if it can't be read.

    A file that `survey` has read is not read again if its status tells that it was not changed.
    """

    def digest(file: Path) -> bytes:
        try:
            return _digest(_read(file))
        except ValueError:
            return b""

    known = list(map(_known_digest, files, statuses))
    unknown = [file for file, digest in zip(files, known, strict=True) if not digest]
    chunks = _in_order(lambda chunk: [digest(file) for file in chunk], unknown, "looking for changes in images", 1)
    read = itertools.chain.from_iterable(chunks)
    return [digest or next(read) for digest in known]


def _known_digest(file: Path, status: _Status | None) -> bytes:
    digest, before = _surveyed.get(file, (b"", None))
    return digest if before and before == status else b""


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _decode_all(files: Sequence[Path], kind: _Kind, rows: cache.Rows) -> tuple[list[bytes], dict[int, str]]:
    """Add what `kind` makes of each readable file to `rows`; digests of what was decoded, and reasons by index."""
    digests: list[bytes] = []
    failures: dict[int, str] = {}

    def attempt(file: Path) -> tuple[bytes, np.ndarray | str]:
        try:
            content = _read(file)
            return _digest(content), kind.make(content, file)
        except ValueError as error:
            return b"", str(error)

    def decode_chunk(chunk: Sequence[Path]) -> tuple[list[bytes], np.ndarray, dict[int, str]]:
        outcomes = [attempt(file) for file in chunk]
        made = [image for _, image in outcomes if not isinstance(image, str)]
        images = np.stack(made).astype(kind.dtype, copy=False) if made else np.empty((0, *kind.row), kind.dtype)
        reasons = {place: reason for place, (_, reason) in enumerate(outcomes) if isinstance(reason, str)}
        return [digest for digest, _ in outcomes], images, reasons

    row_bytes = kind.dtype.itemsize * math.prod(kind.row)
    with _quiet():
        for made, images, reasons in _in_order(decode_chunk, files, "reading images", row_bytes):
            failures |= {len(digests) + place: reason for place, reason in reasons.items()}
            digests += made
            rows.append(images)
    return digests, failures


def _in_order(
    work: Callable[[Sequence[Path]], Result], files: Sequence[Path], description: str, bytes_each: int
) -> Iterator[Result]:
    """What `work` makes of the files, chunk by chunk, by several threads; shown if somebody watches.

    Only a few chunks are made ahead, whatever the order in which they are ready. Of each file `bytes_each` are made.
    """
    threads = hardware.threads_worth_starting()
    step = min(_MOST_IN_CHUNK, max(1, _CHUNK_BYTES // bytes_each))
    chunks = [files[start : start + step] for start in range(0, len(files), step)]
    with ThreadPoolExecutor(threads) as pool, Shown(description, len(files)) as shown:
        ahead: collections.deque[tuple[int, Future[Result]]] = collections.deque()
        for chunk in chunks:
            ahead.append((len(chunk), pool.submit(work, chunk)))
            if len(ahead) > 2 * threads:
                count, made = ahead.popleft()
                yield made.result()
                shown.advance(count)
        for count, made in ahead:
            yield made.result()
            shown.advance(count)


def _describe(failures: dict[int, str], names: Sequence[str]) -> str:
    lines = [f"{names[i]!r}: {reason}" for i, reason in list(failures.items())[:_SHOWN]]
    more = f" and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    plural = "image" if len(failures) == 1 else "images"
    return f"{len(failures)} unreadable {plural} ({'; '.join(lines)}{more})"
