"""Image files to square uint8 arrays: in parallel, with progress, cached by content."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import io
import itertools
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import PIL
from PIL import Image, ImageOps

from bcdl.datasets import cache
from bcdl.datasets.fingerprint import FINGERPRINT, fingerprint
from bcdl.datasets.fingerprint import RULES as FINGERPRINT_RULES
from bcdl.errors import UsageError
from bcdl.text import encodable

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
# 40 times a micrograph of 1,600 x 1,000 pixels; a file that claims more is a mistake or a decompression bomb.
MOST_PIXELS = 64_000_000
_RULES = 1  # raise when the decoding below changes, so that old cache entries are not used
_SHOWN = 5  # unreadable files that a message names
MOST_FILE_BYTES = 2**30  # as many pixels as may be, of four channels of 16 bits, not compressed, take half of it
_MOST_IN_CHUNK, _CHUNK_BYTES = 32, 2**20  # images that a thread reads at a time, and bytes of what is made of them
_last_read: dict[Path, bytes] = {}  # the digest of each file that `decode` has last read in this process
_FILTERS = threading.RLock()  # of who changes the filters of warnings

Convert = Callable[[Image.Image], np.ndarray]
Result = TypeVar("Result")


class _Kind(NamedTuple):
    """What is made of an RGB image: an array of `dtype` and shape `row`."""

    name: str
    dtype: np.dtype
    row: tuple[int, ...]
    convert: Convert


def decode(
    files: Sequence[Path], names: Sequence[str], size: int, skip_unreadable: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The images of `files` as [M, size, size, 3] uint8, and the [M] indices of those that could be read.

    `names` stand for the files in messages.

    Raises:
        UsageError: images are unreadable, and `skip_unreadable` is not set; it counts and names them.
    """
    kind = _Kind(str(size), np.dtype(np.uint8), (size, size, 3), lambda image: resize(image, size))
    images, failures, digests = _convert_all(files, kind)
    _last_read.clear()
    _last_read.update(zip(files, digests, strict=True))
    if failures and not skip_unreadable:
        raise UsageError(_describe(failures, names) + "; remove or repair them, or use --skip-unreadable")
    return images, _readable(files, failures)


def read_fingerprints(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The fingerprints of `files` as [M] of dtype `FINGERPRINT`, and the [M] indices of those that could be read.

    Raises:
        UsageError: files have changed since `decode` has read them in this process; it counts and names them.
    """
    kind = _Kind(f"fingerprint {FINGERPRINT_RULES}", FINGERPRINT, (), fingerprint)
    fingerprints, failures, digests = _convert_all(files, kind)
    _check_unchanged(files, digests)
    return fingerprints, _readable(files, failures)


def _check_unchanged(files: Sequence[Path], digests: Sequence[bytes]) -> None:
    changed = [file for file, digest in zip(files, digests, strict=True) if _last_read.get(file, digest) != digest]
    if changed:
        named = ", ".join(repr(encodable(file.name)) for file in changed[:_SHOWN])
        count = "1 image" if len(changed) == 1 else f"{len(changed)} images"
        more = " and others" if len(changed) > _SHOWN else ""
        raise UsageError(f"{count} changed while the data was read ({named}{more}); run again on data that stays")


def read_image(file: Path, size: int) -> np.ndarray:
    """One image file as [size, size, 3] uint8; ValueError, with the reason, if it can't be read."""
    return _convert_file(file, lambda image: resize(image, size))


def read_picture(file: Path, longest: int) -> np.ndarray:
    """One image file in its own proportions, [H, W, 3] uint8, no side over `longest` pixels; ValueError as above."""
    return _convert_file(file, lambda image: _thumbnail(image, longest))


def _thumbnail(image: Image.Image, longest: int) -> np.ndarray:
    image.thumbnail((longest, longest))
    return np.asarray(image)


def _convert_file(file: Path, convert: Convert) -> np.ndarray:
    """What `convert` makes of the file's RGB image; ValueError, with the reason, if it can't be read."""
    with _quiet():
        return _convert(_read(file), file.name, convert)


def _read(file: Path) -> bytes:
    """The content of a file, read at once, so that what is decoded is what was hashed; ValueError if it can't be."""
    try:
        with file.open("rb") as stream:
            if (size := os.fstat(stream.fileno()).st_size) > MOST_FILE_BYTES:
                raise ValueError(f"{size:,} bytes, over the limit of {MOST_FILE_BYTES:,}")
            return stream.read()
    except OSError as error:
        raise ValueError(f"not a readable file ({error.strerror or error})") from error


def _convert(content: bytes, name: str, convert: Convert) -> np.ndarray:
    """What `convert` makes of the RGB image in a file's content; ValueError, with the reason, if it can't be read."""
    stream = io.BytesIO(content)
    try:
        with Image.open(stream) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, over the limit of {MOST_PIXELS:,}")
            image.load()
            return convert(_to_rgb(ImageOps.exif_transpose(image)))
    except Image.DecompressionBombError as error:
        raise ValueError(f"too many pixels to be an image ({error})") from error
    except ValueError:
        raise
    except Exception as error:  # decoders raise all kinds of errors on broken bytes
        reason = str(error).replace(repr(stream), repr(name))
        raise ValueError(f"not a readable image ({type(error).__name__}: {reason})") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of decoders: of bombs, which are refused at a lower bound, and of tags that are unknown.

    Python has one list of filters for all threads: so it is set once around all that decode, never by each of them.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_rgb(image: Image.Image) -> Image.Image:
    """Grey, 16-bit, palette, CMYK and transparent images as 8-bit RGB; what is transparent becomes white."""
    if image.mode.startswith("I"):  # 16 bits a pixel, or 16 in 32
        levels = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(levels // 257, 0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known scale; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def resize(image: Image.Image, size: int) -> np.ndarray:
    """An RGB image as [size, size, 3] uint8, sides scaled each on its own as the source study did."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _convert_all(files: Sequence[Path], kind: _Kind) -> tuple[np.ndarray, dict[int, str], list[bytes]]:
    """What `kind` makes of each readable image, [M, ...], why the others can't be read, by index, and all digests.

    Cached if all can be read.
    """
    rules = f"{_RULES} {PIL.__version__} {kind.name}"
    # Files of other sizes than all before were never decoded: they need not be read once more for their digests.
    sizes = cache.key_of(rules, "sizes", *map(_size, files))
    if cache.read_facts(sizes) is not None:
        digests = _digests(files)
        images = cache.read(cache.key_of(rules, *digests), kind.dtype, kind.row)
        if images is not None and len(images) == len(files):
            return images, {}, digests
    with cache.Rows(kind.dtype, kind.row, len(files)) as rows:
        digests, failures = _decode_all(files, kind, rows)
        images = rows.finish(None if failures else cache.key_of(rules, *digests))
    if not failures:
        cache.write_facts(sizes, True)
    return images, failures, digests


def _size(file: Path) -> str:
    try:
        return str(file.stat().st_size)
    except OSError:
        return "unknown"


def _readable(files: Sequence[Path], failures: dict[int, str]) -> np.ndarray:
    return np.array([i for i in range(len(files)) if i not in failures], dtype=np.int64)


def _digests(files: Sequence[Path]) -> list[bytes]:
    """The digest of each file's content; empty bytes, which no content has, if it can't be read."""

    def digest(file: Path) -> bytes:
        try:
            return _digest(_read(file))
        except ValueError:
            return b""

    chunks = _in_order(lambda chunk: [digest(file) for file in chunk], files, "looking for changes in images", 1)
    return list(itertools.chain.from_iterable(chunks))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _decode_all(files: Sequence[Path], kind: _Kind, rows: cache.Rows) -> tuple[list[bytes], dict[int, str]]:
    """Add what `kind` makes of each readable image to `rows`; digests of what was decoded, and reasons by index."""
    digests: list[bytes] = []
    failures: dict[int, str] = {}

    def attempt(file: Path) -> tuple[bytes, np.ndarray | str]:
        try:
            content = _read(file)
            return _digest(content), _convert(content, file.name, kind.convert)
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
    """What `work` makes of the files, chunk by chunk, by several threads; shown where somebody watches.

    Only a few chunks are made ahead, whatever the order in which they are ready. Of each file `bytes_each` are made.
    """
    threads = os.cpu_count() or 1
    step = min(_MOST_IN_CHUNK, max(1, _CHUNK_BYTES // bytes_each))
    chunks = [files[start : start + step] for start in range(0, len(files), step)]
    with ThreadPoolExecutor(threads) as pool, _progress(description, len(files)) as advance:
        ahead: collections.deque[tuple[int, Future[Result]]] = collections.deque()
        for chunk in chunks:
            ahead.append((len(chunk), pool.submit(work, chunk)))
            if len(ahead) > 2 * threads:
                count, made = ahead.popleft()
                yield made.result()
                advance(count)
        for count, made in ahead:
            yield made.result()
            advance(count)


@contextlib.contextmanager
def _progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """What advances a progress bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console  # here: a worker shows no bar
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


def _describe(failures: dict[int, str], names: Sequence[str]) -> str:
    lines = [f"{names[i]!r}: {reason}" for i, reason in list(failures.items())[:_SHOWN]]
    more = f" and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    plural = "image" if len(failures) == 1 else "images"
    return f"{len(failures)} unreadable {plural} ({'; '.join(lines)}{more})"
