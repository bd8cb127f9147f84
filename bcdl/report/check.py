"""Checks that committed page, tables and plots follow from records: compares them with what the records give now.

Text must be equal to the byte, and the manifest must list what is there. A plot must name the digest of
the records it was drawn from, and show what they give.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from bcdl.report import artefacts

# The pinned matplotlib has its own fonts and FreeType; but another machine may round otherwise, which moves an edge by
# one pixel or its grey by some levels. So a pixel is off only if no pixel at its place or beside it in the other
# picture is similar. Another marker or letter leaves dozens of such pixels.
_LEVELS = 48
_MOST_OFF = 12
_NEIGHBOURS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def differences(results: Path, files: Mapping[str, bytes]) -> Iterator[str]:
    """Each of a report's `files` that is missing or not as it should be, each that is left over, and why.

    Files that bcdl did not write are no difference.
    """
    stale = artefacts.find_stale(results, files, artefacts.Manifest.read(results))
    for path in sorted({*files, *stale.removable, *stale.changed}):
        if path in stale.removable:
            yield f"{path}: left over, no record asks for it"
        elif path in stale.changed:
            yield f"{path}: left over and changed by hand, no record asks for it; remove it or give it another name"
        elif not (results / path).is_file():
            yield f"{path}: missing"
        elif difference := _difference((results / path), files[path]):
            yield f"{path}: {difference}"
    if difference := _manifest_difference(results, files, stale):
        yield f"{artefacts.MANIFEST}: {difference}"


def _manifest_difference(results: Path, files: Mapping[str, bytes], stale: artefacts.Stale) -> str:
    """What is wrong with the manifest; empty if nothing is, or if it is reported with the file itself."""
    listed = artefacts.listed(results)
    if listed is None:
        return "missing"
    for path in sorted({*files, *listed} - {*stale.removable, *stale.changed}):
        if path not in listed:
            return f"does not list {path}"
        if path not in files:
            return f"lists {path}, which is not there"
        # A plot that another machine drew has other bytes.
        committed = artefacts.content_of(results / path) or b""
        if listed[path] not in (artefacts.digest(files[path]), artefacts.digest(committed)):
            return f"lists another {path} than the records give"
    return ""


def _difference(committed: Path, rebuilt: bytes) -> str:
    """What is wrong with the committed file; empty if nothing is."""
    content = artefacts.content_of(committed)
    if content is None:
        return "missing"
    if content == rebuilt:
        return ""
    if committed.suffix == ".png":
        return _plot_difference(content, rebuilt)
    lines = [content.splitlines() for content in (content, rebuilt)]
    first = next((n for n, (a, b) in enumerate(zip(*lines, strict=False), 1) if a != b), min(map(len, lines)) + 1)
    return f"differs from what the records give, first in line {first}"


def _plot_difference(committed: bytes, rebuilt: bytes) -> str:
    try:
        (source, pixels), (wanted_source, wanted) = _read(committed), _read(rebuilt)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"not a readable PNG ({type(error).__name__})"
    if source != wanted_source:
        return "drawn from other records than those that are here"
    if pixels.shape != wanted.shape:
        return f"{_size(pixels)} pixels, where the records give {_size(wanted)}"
    off = max(_count_off(pixels, wanted), _count_off(wanted, pixels))
    return f"shows something else than the records give: {off} pixels are off" if off > _MOST_OFF else ""


def _read(png: bytes) -> tuple[str | None, np.ndarray]:
    """The digest that the PNG names, and its pixels [H, W, 3] as int16."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        image.load()
        return image.info.get(artefacts.SOURCE), np.asarray(image.convert("RGB")).astype(np.int16)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _count_off(pixels: np.ndarray, other: np.ndarray) -> int:
    """How many pixels have none similar at their place in the other picture or one pixel beside it.

    Both pictures are [H, W, 3] int16.
    """
    height, width, _ = pixels.shape
    padded = np.pad(other, ((1, 1), (1, 1), (0, 0)), mode="edge")
    nearest = np.full((height, width), np.iinfo(np.int16).max, dtype=np.int16)
    for down, right in _NEIGHBOURS:
        shifted = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        np.minimum(nearest, np.abs(pixels - shifted).max(axis=2), out=nearest)
    return int((nearest > _LEVELS).sum())
