"""One picture of a data set before a run trains on it: a few images of each split and class, as the network gets them.

A fault of reading (grey levels near black, inverted or turned images) is seen at a glance, and in no checksum. The
picture holds a data set's pixels, so that it goes to `local/` of the results folder, which git ignores.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bcdl.datasets import LABELS, Dataset, Split
from bcdl.records import disk, runs
from bcdl.text import legible, on_one_line, safe_name

_MOST_COLUMNS = 12
_ROW_WIDTH = 2048  # pixels: large images have fewer columns
_STRIP_HEIGHT, _FONT_SIZE, _GAP = 20, 13, 2  # pixels
_LEAST_WIDTH = 480  # pixels, so that captions fit
_MOST_PIXELS = 100_000_000
_LONGEST_NAME = 40  # letters
_WHITE, _BLACK, _GREY = (255, 255, 255), (0, 0, 0), (128, 128, 128)


def few(dataset: Dataset) -> Dataset:
    """The data set with as many images of each split and class as the picture shows, evenly drawn from all of them."""
    columns = _columns(dataset.train.images.shape[1])

    def thinned(part: Split) -> Split:
        places = [_spread(np.flatnonzero(part.labels == label), columns) for label in LABELS.values()]
        return part.at(np.concatenate(places))

    train, val, test = map(thinned, (dataset.train, dataset.val, dataset.test))
    return dataclasses.replace(dataset, train=train, val=val, test=test, fingerprints=None)


def file_of(dataset_name: str, checksum: str, results: Path) -> Path:
    """The file of the picture of the data set with this checksum."""
    return results / runs.LOCAL / f"data-{safe_name(dataset_name)}-{checksum[:8]}.png"


def save(shown: Dataset, file: Path) -> str:
    """Draw the picture of a data set's few images into the file, whole or not at all; a line that says so, for people.

    It may fail, for the disk or for memory, and then the line says that: a run needs no picture.
    """
    name, content = legible(shown.name), io.BytesIO()
    try:
        draw(shown).save(content, "PNG")
        disk.replace(file, content.getvalue())
    except Exception as error:  # whatever it is, the run can do without
        return f"note: no picture of data set {name} was drawn ({on_one_line(error, with_kind=True)})"
    return f"data set {name}: what the network sees is in {legible(str(file))}"


def draw(shown: Dataset) -> Image.Image:
    """A row for each split and class, under a strip that names them: the images one to one, [S, S] pixels each.

    Raises:
        ValueError: the picture would be too large.
    """
    size = shown.train.images.shape[1]
    step, row_height = size + _GAP, _STRIP_HEIGHT + size + _GAP
    width = max(_LEAST_WIDTH, _columns(size) * step)
    height = len(shown.splits) * len(LABELS) * row_height
    if width * height > _MOST_PIXELS:
        raise ValueError(f"{width}x{height} pixels would be too many")
    picture = Image.new("RGB", (width, height), _GREY)
    for row, (split, kind) in enumerate((split, kind) for split in shown.splits for kind in LABELS):
        part, top = shown.splits[split], row * row_height
        images = part.images[part.labels == LABELS[kind]]
        _write(picture, top, f"{legible(shown.name, _LONGEST_NAME)}: {split}, {kind}, {size}x{size} pixels")
        for column, image in enumerate(images[: _columns(size)]):
            picture.paste(Image.fromarray(image), (column * step, top + _STRIP_HEIGHT))
    return picture


def _write(picture: Image.Image, top: int, words: str) -> None:
    """A white strip with the words across the picture."""
    drawing = ImageDraw.Draw(picture)
    drawing.rectangle((0, top, picture.width, top + _STRIP_HEIGHT - 1), _WHITE)
    drawing.text((4, top + 2), words, _BLACK, ImageFont.load_default(_FONT_SIZE))


def _columns(size: int) -> int:
    return max(1, min(_MOST_COLUMNS, _ROW_WIDTH // (size + _GAP)))


def _spread(places: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the places, evenly spread over them."""
    if len(places) <= count:
        return places
    return places[np.linspace(0, len(places) - 1, count).round().astype(np.int64)]
