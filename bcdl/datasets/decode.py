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
from PIL import Image, ImageOps

from bcdl.datasets import cache
from bcdl.datasets.fingerprint import FINGERPRINT, fingerprint
from bcdl.datasets.fingerprint import RULES as FINGERPRINT_RULES
from bcdl.errors import UsageError

EXTENSIONS = frozenset(
    ".png .jpg .jpeg .jpe .jfif .tif .tiff .bmp .dib .webp .gif .pgm .ppm .pbm .pnm .jp2".split()  # noqa: SIM905
)
# 40 times a micrograph of 1,600 x 1,000 pixels; a file that claims more is a mistake or a decompression bomb.
MOST_PIXELS = 64_000_000
_RULES = 1  # raise when the decoding below changes, so that old cache entries are not used
_SHOWN = 5  # unreadable files that a message names


def decode(
    files: Sequence[Path], names: Sequence[str], size: int, skip_unreadable: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The images of `files` as [M, size, size, 3] uint8, and the [M] indices of those that could be read.

    `names` stand for the files in messages.

    Raises:
        UsageError: images are unreadable, and `skip_unreadable` is not set; it counts and names them.
    """
    images, failures = _convert_all(files, str(size), lambda image: resize(image, size))
    if failures and not skip_unreadable:
        raise UsageError(_describe(failures, names) + "; remove or repair them, or use --skip-unreadable")
    if not images.size:
        images = np.empty((0, size, size, 3), np.uint8)
    return images, _readable(files, failures)


def read_fingerprints(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The fingerprints of `files` as [M] of dtype `FINGERPRINT`, and the [M] indices of those that could be read."""
    fingerprints, failures = _convert_all(files, f"fingerprint {FINGERPRINT_RULES}", fingerprint)
    return fingerprints.astype(FINGERPRINT), _readable(files, failures)


def read_image(file: Path, size: int) -> np.ndarray:
    """One image file as [size, size, 3] uint8; ValueError, with the reason, if it can't be read."""
    return _convert(file, lambda image: resize(image, size))


def read_picture(file: Path, longest: int) -> np.ndarray:
    """One image file in its own proportions, [H, W, 3] uint8, no side over `longest` pixels; ValueError as above."""
    return _convert(file, lambda image: _thumbnail(image, longest))


def _thumbnail(image: Image.Image, longest: int) -> np.ndarray:
    image.thumbnail((longest, longest))
    return np.asarray(image)


def _convert(file: Path, convert: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """What `convert` makes of the file's RGB image; ValueError, with the reason, if it can't be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs, which are refused below at a lower bound, and of unknown tags
            with Image.open(file) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels, over the limit of {MOST_PIXELS:,}")
                image.load()
                return convert(_to_rgb(ImageOps.exif_transpose(image)))
    except Image.DecompressionBombError as error:
        raise ValueError(f"too many pixels to be an image ({error})") from error
    except ValueError:
        raise
    except Exception as error:  # decoders raise all kinds of errors on broken bytes
        raise ValueError(
            f"not a readable image ({type(error).__name__}: {str(error).replace(str(file), file.name)})"
        ) from error


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


def _convert_all(
    files: Sequence[Path], kind: str, convert: Callable[[Image.Image], np.ndarray]
) -> tuple[np.ndarray, dict[int, str]]:
    """What `convert` makes of each readable image, stacked, and why the others can't be read, by index.

    Cached, under `kind`, if all can be read.
    """
    entry = cache.entry(files, f"{_RULES} {PIL.__version__} {kind}")
    if (images := cache.read(entry)) is not None:
        return images, {}
    images, failures = _read_all(files, convert)
    if not failures:
        cache.write(entry, images)
    return images, failures


def _readable(files: Sequence[Path], failures: dict[int, str]) -> np.ndarray:
    return np.array([i for i in range(len(files)) if i not in failures], dtype=np.int64)


def _read_all(files: Sequence[Path], convert: Callable[[Image.Image], np.ndarray]) -> tuple[np.ndarray, dict[int, str]]:
    failures: dict[int, str] = {}
    images: list[np.ndarray] = []

    def attempt(file: Path) -> np.ndarray | str:
        try:
            return _convert(file, convert)
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
