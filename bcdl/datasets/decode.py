"""Image files to square uint8 arrays: in parallel, with progress, cached by content."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from bcdl.datasets import cache, dicom, pixels, room
from bcdl.datasets.fingerprint import FINGERPRINT, fingerprint
from bcdl.datasets.fingerprint import RULES as FINGERPRINT_RULES
from bcdl.errors import UsageError

_OF_PILLOW = ".png .jpg .jpeg .jpe .jfif .tif .tiff .bmp .dib .webp .gif .pgm .ppm .pbm .pnm .jp2"
EXTENSIONS = frozenset(_OF_PILLOW.split()) | dicom.EXTENSIONS
# 40 times a micrograph of 1,600 x 1,000 pixels; a file that claims more is a mistake or a decompression bomb.
MOST_PIXELS = 64_000_000
_RULES = 2  # raise when the decoding below, or of `pixels` or `dicom`, changes, so that old cache entries are not used
_SHOWN = 5  # unreadable files that a message names


def is_image(file: Path) -> bool:
    """Whether the file is an image by its name, or, without a suffix, by its beginning."""
    return file.suffix.lower() in EXTENSIONS or dicom.is_dicom(file)


def survey(files: Sequence[Path], names: Sequence[str], grey_bits: int, cached: bool = True) -> pixels.Survey:
    """What a first look at all files of a set finds: the depth by which they are to be read, and what to tell of it.

    `names` stand for the files in messages; `grey_bits` is the depth that a person gave, or 0. What can't be read is
    passed over; what is not to be cached may be missing, too.

    Raises:
        UsageError: a level is above the given depth, or DICOM files can't be read here.
    """
    looks, failures = _convert_all(files, f"look {pixels.RULES}", _look) if cached else _read_all(files, _look)
    seen = [names[index] for index in _readable(files, failures)]
    return pixels.survey(looks.astype(pixels.LOOK), seen, grey_bits)


def decode(
    files: Sequence[Path], names: Sequence[str], size: int, skip_unreadable: bool, depth: pixels.Depth
) -> tuple[np.ndarray, np.ndarray]:
    """The images of `files` as [M, size, size, 3] uint8, and the [M] indices of those that could be read.

    `names` stand for the files in messages; `depth` is what `survey` found.

    Raises:
        UsageError: images are unreadable, and `skip_unreadable` is not set; it counts and names them. Or all together
            would need more memory than there is.
    """
    room.check(len(files), size)
    images, failures = _convert_all(
        files, f"{size} {_words(depth)}", lambda file: _convert(file, lambda image: resize(image, size), depth)
    )
    if failures and not skip_unreadable:
        raise UsageError(_describe(failures, names) + "; remove or repair them, or use --skip-unreadable")
    if not images.size:
        images = np.empty((0, size, size, 3), np.uint8)
    return images, _readable(files, failures)


def read_fingerprints(files: Sequence[Path], depth: pixels.Depth) -> tuple[np.ndarray, np.ndarray]:
    """The fingerprints of `files` as [M] of dtype `FINGERPRINT`, and the [M] indices of those that could be read."""
    fingerprints, failures = _convert_all(
        files, f"fingerprint {FINGERPRINT_RULES} {_words(depth)}", lambda file: _convert(file, fingerprint, depth)
    )
    return fingerprints.astype(FINGERPRINT), _readable(files, failures)


def read_image(file: Path, size: int, depth: pixels.Depth = pixels.OWN_DEPTH) -> np.ndarray:
    """One image file as [size, size, 3] uint8; ValueError, with the reason, if it can't be read."""
    return _convert(file, lambda image: resize(image, size), depth)


def read_picture(file: Path, longest: int, depth: pixels.Depth = pixels.OWN_DEPTH) -> np.ndarray:
    """One image file in its own proportions, [H, W, 3] uint8, no side over `longest` pixels; ValueError as above."""
    return _convert(file, lambda image: _thumbnail(image, longest), depth)


def _words(depth: pixels.Depth) -> str:
    """The depth as a part of what the cache knows an entry by."""
    return f"grey {depth.bits}{' given' if depth.given else ''}"


def _thumbnail(image: Image.Image, longest: int) -> np.ndarray:
    image.thumbnail((longest, longest))
    return np.asarray(image)


def _convert(file: Path, convert: Callable[[Image.Image], np.ndarray], depth: pixels.Depth) -> np.ndarray:
    """What `convert` makes of the file's RGB image; ValueError, with the reason, if it can't be read."""
    if dicom.is_dicom(file):
        return _guarded(file, lambda: convert(dicom.read(file, depth, MOST_PIXELS)))
    return _opened(file, lambda image: convert(pixels.to_rgb(image, depth)))


def _look(file: Path) -> np.ndarray:
    """The look at a file as an array of no dimensions and dtype `pixels.LOOK`; ValueError if it can't be read."""
    if dicom.is_dicom(file):
        return _guarded(file, lambda: dicom.look(file))
    return _opened(file, pixels.look)


def _opened(file: Path, use: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """What `use` makes of the opened image file, of which no pixels are decoded yet; ValueError as above."""

    def read() -> np.ndarray:
        with Image.open(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, over the limit of {MOST_PIXELS:,}")
            return use(image)

    return _guarded(file, read)


def _guarded(file: Path, read: Callable[[], np.ndarray]) -> np.ndarray:
    """What `read` gives; ValueError, with the reason on one line, whatever it fails with."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs, which are refused at a lower bound, and of unknown tags
            return read()
    except Image.DecompressionBombError as error:
        raise ValueError(f"too many pixels to be an image ({error})") from error
    except (ValueError, UsageError):
        raise
    except Exception as error:  # decoders raise all kinds of errors on broken bytes
        reason = " ".join(str(error).replace(str(file), file.name).split())
        raise ValueError(f"not a readable image ({type(error).__name__}: {reason})") from error


def resize(image: Image.Image, size: int) -> np.ndarray:
    """An RGB image as [size, size, 3] uint8, sides scaled each on its own as the source study did."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _convert_all(
    files: Sequence[Path], kind: str, convert: Callable[[Path], np.ndarray]
) -> tuple[np.ndarray, dict[int, str]]:
    """What `convert` makes of each readable file, stacked, and why the others can't be read, by index.

    Cached, under `kind`, if all can be read.
    """
    entry = cache.entry(files, f"{_RULES} {PIL.__version__} {dicom.versions()}{kind}")
    if (images := cache.read(entry)) is not None:
        return images, {}
    images, failures = _read_all(files, convert)
    if not failures:
        cache.write(entry, images)
    return images, failures


def _readable(files: Sequence[Path], failures: dict[int, str]) -> np.ndarray:
    return np.array([i for i in range(len(files)) if i not in failures], dtype=np.int64)


def _read_all(files: Sequence[Path], convert: Callable[[Path], np.ndarray]) -> tuple[np.ndarray, dict[int, str]]:
    failures: dict[int, str] = {}
    images: list[np.ndarray] = []

    def attempt(file: Path) -> np.ndarray | str:
        try:
            return convert(file)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(attempt, files)
        for index, result in enumerate(_with_progress(results, len(files)) if sys.stderr.isatty() else results):
            if isinstance(result, str):
                failures[index] = result
            else:
                images.append(result)
    return np.stack(images) if images else np.empty(0, np.uint8), failures


def _with_progress(results: Iterable[np.ndarray | str], total: int) -> Iterable[np.ndarray | str]:
    """The results one after another, with a progress bar on stderr."""
    from rich.console import Console  # here: a worker shows no bar
    from rich.progress import track

    return track(results, description="reading images", total=total, console=Console(file=sys.stderr))


def _describe(failures: dict[int, str], names: Sequence[str]) -> str:
    lines = [f"{names[i]!r}: {reason}" for i, reason in list(failures.items())[:_SHOWN]]
    more = f" and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    plural = "image" if len(failures) == 1 else "images"
    return f"{len(failures)} unreadable {plural} ({'; '.join(lines)}{more})"
