"""Whether committed page, tables and plots follow from records: compared with those that the records give now.

Text must be equal to the byte. A plot must name the digest of the records it was drawn from, and show what they give.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from bcdl.report.plots.style import SOURCE

PAGE = "README.md"
# The pinned matplotlib brings its own fonts and FreeType; what another machine rounds otherwise moves an edge by one
# pixel or its grey by some levels. So a pixel is off only where none at its place or beside it in the other picture is
# like it; a marker or a letter that is not the same leaves dozens.
_LEVELS = 48
_MOST_OFF = 12
_NEIGHBOURS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def generated(results: Path) -> set[Path]:
    """The files under `results` that a report has written."""
    return {
        *(file for folder in ("tables", "plots", "cards") for file in (results / folder).rglob("*") if file.is_file()),
        *(file for file in [results / PAGE] if file.is_file()),
    }


def differences(committed: Path, rebuilt: Path) -> Iterator[str]:
    """Each file that is missing, left over or not as it is in `rebuilt`, with what is wrong with it."""
    there, wanted = ({file.relative_to(folder) for file in generated(folder)} for folder in (committed, rebuilt))
    for name in sorted(there | wanted):
        if name not in there:
            yield f"{name.as_posix()}: missing"
        elif name not in wanted:
            yield f"{name.as_posix()}: left over, no record asks for it"
        elif found := _difference(committed / name, rebuilt / name):
            yield f"{name.as_posix()}: {found}"


def _difference(committed: Path, rebuilt: Path) -> str:
    """What is wrong with the first file; empty where nothing is."""
    if committed.read_bytes() == rebuilt.read_bytes():
        return ""
    if rebuilt.suffix == ".png":
        return _plot_difference(committed, rebuilt)
    lines = [file.read_bytes().splitlines() for file in (committed, rebuilt)]
    first = next((n for n, (a, b) in enumerate(zip(*lines, strict=False), 1) if a != b), min(map(len, lines)) + 1)
    return f"differs from what the records give, first in line {first}"


def _plot_difference(committed: Path, rebuilt: Path) -> str:
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


def _read(file: Path) -> tuple[str | None, np.ndarray]:
    """The digest that the PNG names, and its pixels [H, W, 3] as int16."""
    with Image.open(file, formats=["PNG"]) as image:
        image.load()
        return image.info.get(SOURCE), np.asarray(image.convert("RGB")).astype(np.int16)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _count_off(pixels: np.ndarray, other: np.ndarray) -> int:
    """Pixels with nothing alike at their place in the other picture or one pixel beside it."""
    height, width, _ = pixels.shape
    padded = np.pad(other, ((1, 1), (1, 1), (0, 0)), mode="edge")
    nearest = np.full((height, width), np.iinfo(np.int16).max, dtype=np.int16)
    for down, right in _NEIGHBOURS:
        shifted = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        np.minimum(nearest, np.abs(pixels - shifted).max(axis=2), out=nearest)
    return int((nearest > _LEVELS).sum())
