"""How fast images are augmented and put into batches: bcdl's input pipeline beside those of the frameworks.

Each way is a process that is held to some of the cores before it starts, imports only what it needs, and draws batches
with nothing else to do. All pipelines have the same work: uint8 images of noise in memory, drawn in random order, each
rotated, zoomed and flipped by parameters of its own, in batches with one-hot labels. And all warp by the function that
bcdl's own pipeline warps by, so that they differ in what is around it. bcdl draws an image's parameters from its seed,
epoch and number, the others from a generator for each thread or process, which is cheaper. The frameworks' pipelines
are those of `backends/<name>/input_pipeline.py`, each as its users would set it for so many cores.

Each is compared with bcdl's on as many cores, and bcdl's with itself on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.experiments.engine import cores, processes
from bcdl.experiments.engine.definition import Comparison, Way, WithoutCell
from bcdl.experiments.workers import batches
from bcdl.experiments.workers.batches import IMAGES, OWN
from bcdl.settings.cell import MOST_PIXELS
from bcdl.settings.limits import Limits
from bcdl.settings.option import Number

_PIXELS = Number("--pixels", "heights and widths of images, separated by commas", 8, MOST_PIXELS, "96,224")
_BATCH = Number("--batch", "images of a batch", least=1, most=IMAGES, default="32")
_LIMITS = Limits(seconds=300)


@dataclasses.dataclass(frozen=True)
class _Setting:
    """A pipeline that is to make batches of such images on so many cores."""

    pipeline: str
    pixels: int
    batch_size: int
    cores: int

    @property
    def images(self) -> str:
        return f"{self.pixels}x{self.pixels}, batch {self.batch_size}"

    @property
    def name(self) -> str:
        return f"{self.pipeline}, {self.images}, {cores.in_words(self.cores)}"

    def way(self) -> dict[str, float]:
        with cores.held_to(self.cores):
            return {self.name: _rate_in_process(self.name, list(map(str, dataclasses.astuple(self))))}


def plan(arguments: argparse.Namespace) -> tuple[dict[str, Way], list[Comparison]]:
    sizes, batch_size = _PIXELS.read_all(arguments.pixels), _BATCH.read(arguments.batch)
    others = _asked_for(arguments.pipelines)
    counts = cores.counts()[::-1]
    ways: dict[str, Way] = {}
    comparisons = []
    for size, count in itertools.product(sizes, counts):
        own, *theirs = (_Setting(pipeline, size, batch_size, count) for pipeline in (OWN, *others))
        ways |= {setting.name: setting.way for setting in (own, *theirs)}
        comparisons += [_side_by_side(own, each) for each in theirs]
        if count > counts[0]:
            comparisons.append(_by_cores(dataclasses.replace(own, cores=counts[0]), own))
    return ways, comparisons


def _side_by_side(own: _Setting, other: _Setting) -> Comparison:
    subject = f"{own.images}, {cores.in_words(own.cores)}"
    return Comparison(subject, (own.pipeline, other.pipeline), (own.name, other.name))


def _by_cores(fewer: _Setting, more: _Setting) -> Comparison:
    named = (cores.in_words(fewer.cores), cores.in_words(more.cores))
    return Comparison(f"{more.images}, {more.pipeline}", named, (fewer.name, more.name))


def _asked_for(given: str | None) -> list[str]:
    """The frameworks' pipelines that were asked for, all if none was; UsageError if one is unknown or not installed."""
    packages = {name: package for name, (package, _) in backends.input_pipelines().items()}
    chosen = list(dict.fromkeys(name.strip() for name in given.split(","))) if given else list(packages)
    for name in chosen:
        if name not in packages:
            raise UsageError(f"unknown input pipeline {name!r}; those known are {', '.join(packages)}")
        if not backends.is_installed(packages[name]):
            raise UsageError(
                f"{packages[name]} is not installed, which {name} needs; use nox -s bench-input, or name the pipelines "
                "that are installed with --pipelines"
            )
    return chosen


def _rate_in_process(name: str, arguments: list[str]) -> float:
    """Images/s of a pipeline in a process of its own; BcdlError, with what it printed last, if that fails."""
    return float(processes.result(name, [*batches.COMMAND, *arguments], _LIMITS))


def _add_options(add: Callable[..., Any]) -> None:
    _PIXELS.add(add, several=True)
    _BATCH.add(add)
    add("--pipelines", help="names of the frameworks' pipelines, separated by commas; default all")


EXPERIMENT = WithoutCell(name="Input pipelines", plan=plan, add_options=_add_options)
