"""What a large folder of images takes before the first cell, with an empty cache and with a full one.

In each round two processes check the same folder, one after the other: they load it, split it and look for copies. The
first has an empty cache (cold), the next has the cache that the first has filled (warm). Of both are compared the
seconds of all of that and those of loading alone, which in a folder has most of the search in it, and by how much
memory grew at most, as a multiple of what the pixels take.

The images are PNGs of noise, half of each class; every tenth is a brighter copy of the one before, of its class.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bcdl.experiments.engine import processes
from bcdl.experiments.engine.definition import Comparison, Way, WithoutCell
from bcdl.experiments.workers import check
from bcdl.machine import scratch
from bcdl.settings.cell import MOST_PIXELS
from bcdl.settings.limits import Limits
from bcdl.settings.option import Number

_IMAGES = Number("--images", "images in the folder", least=20, most=10_000_000, default="50000")
_PIXELS = Number("--pixels", "height and width of an image", least=8, most=MOST_PIXELS, default="50")
_LIMITS = Limits(seconds=4 * 3600)
_COPIED = 10  # one image of so many is a copy
_BRIGHTER = 15  # grey levels
_STATES = ("cold", "warm")
_MEMORY = "Memory that large data sets take"
_FIGURES = {  # what a process measures: in words, and the name and unit of the experiment that it stands in, if another
    check.WHOLE: ("all", "", ""),
    check.LOADING: ("loading alone", "", ""),
    check.MEMORY: ("peak", _MEMORY, "times the pixels"),
}


@dataclasses.dataclass(frozen=True)
class _Setting:
    """A folder of so many drawn images, of so many pixels a side."""

    images: int
    pixels: int

    def __str__(self) -> str:
        return f"{self.images:,} images of {self.pixels}x{self.pixels}"

    @functools.cached_property
    def _data(self) -> Path:
        """The folder, drawn when it is first asked for; it goes with this process."""
        folder = scratch.of_process() / f"{self.images}-{self.pixels}"
        folder.mkdir()
        draw(folder, self.images, self.pixels)
        return folder

    def way(self) -> dict[str, float]:
        """One round: the figures of both processes."""
        figures: dict[str, float] = {}
        with scratch.folder() as cache:
            for state in _STATES:
                command = [*check.COMMAND, str(self._data), str(self.pixels)]
                measured = processes.result(f"{self}, {state}", command, _LIMITS, {"XDG_CACHE_HOME": str(cache)})
                figures |= {_name(state, figure): measured[figure] for figure in _FIGURES}
        return figures


def plan(arguments: argparse.Namespace) -> tuple[dict[str, Way], list[Comparison]]:
    setting = _Setting(_IMAGES.read(arguments.images), _PIXELS.read(arguments.pixels))
    cold, warm = _STATES
    comparisons = [
        Comparison(f"{setting}, {words}", _STATES, (_name(cold, figure), _name(warm, figure)), name, unit)
        for figure, (words, name, unit) in _FIGURES.items()
    ]
    return {str(setting): setting.way}, comparisons


def _name(state: str, figure: str) -> str:
    return f"{state}, {figure}"


def draw(folder: Path, images: int, pixels: int) -> None:
    """Draw the images into class folders."""
    generator = np.random.default_rng(0)
    noise = np.zeros((pixels, pixels, 3), np.uint8)
    for number in range(1, images + 1):
        of_class = folder / ("benign", "malignant")[(number - 1) // 2 % 2]  # a copy is of its original's class
        of_class.mkdir(exist_ok=True)
        if is_new := bool(number % _COPIED):
            noise = generator.integers(0, 256 - _BRIGHTER, noise.shape, dtype=np.uint8)
        Image.fromarray(noise if is_new else noise + np.uint8(_BRIGHTER)).save(of_class / f"{number:06d}.png")


def _add_options(add: Callable[..., Any]) -> None:
    _IMAGES.add(add)
    _PIXELS.add(add)


EXPERIMENT = WithoutCell(name="Large data sets", plan=plan, unit="s", add_options=_add_options)
