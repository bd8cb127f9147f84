"""The definition of an experiment. It needs no Keras: it is read before a backend is started."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bcdl.settings.job import Job
from bcdl.settings.option import Number

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell

MODELS = "cnn,mobilenet"
ROUNDS = Number("--rounds", "rounds", least=1, most=10_000, default="12")
IMAGES_PER_S = "images/s"
# Runs one round of a way; its figures by name, most often one figure under the way's own name.
Way = Callable[[], dict[str, float]]


def _no_options(add: Callable[..., Any]) -> None:
    """Add no option."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shared:
    """What all kinds of experiment define.

    Attributes:
        name: its name in records and on the page.
        models: the models that are measured unless --models names others, separated by commas.
        unit: the unit of the figures; more is better unless it is a time, `s`.
        searches: whether the ways are settings that a user may choose among.
        add_options: declares options of the experiment's own, by a parser's `add_argument`.
    """

    name: str
    models: str = MODELS
    unit: str = IMAGES_PER_S
    searches: bool = False
    add_options: Callable[[Callable[..., Any]], None] = _no_options


@dataclasses.dataclass(frozen=True, kw_only=True)
class InProcess(_Shared):
    """An experiment whose ways train one model in this process, all compiled before the first round that counts.

    Attributes:
        ways: makes the ways to measure a cell, by name; all others are compared with the first.
    """

    ways: Callable[[TrainingCell], Mapping[str, Way]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InWorkers(_Shared):
    """An experiment whose ways start a worker each, so that a round has a process of its own for each way.

    Attributes:
        ways: makes the ways to measure a job, by name, from the options that were given; all others are compared with
            the first.
        subject: what is measured, in words; if empty, the cell in words.
        slowdowns: the share that a way was slowed down by on purpose, by the way's name.
    """

    ways: Callable[[Job, argparse.Namespace], Mapping[str, Way]]
    subject: str = ""
    slowdowns: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two figures that are compared.

    Attributes:
        subject: what is measured, in words.
        ways: the names of the two ways, as tables show them.
        figures: the names of their figures, which ways gave.
        name, unit: of the experiment that it stands in, as records and the page have them; if empty, those of the
            definition. What has another unit needs another name.
    """

    subject: str
    ways: tuple[str, str]
    figures: tuple[str, str]
    name: str = ""
    unit: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithoutCell(_Shared):
    """An experiment on something else than a cell, whose ways start a process each: it takes no option of a cell.

    Attributes:
        plan: makes, from the options that were given, the ways to measure, by name, and what is compared.
    """

    plan: Callable[[argparse.Namespace], tuple[Mapping[str, Way], Sequence[Comparison]]]


Definition = InProcess | InWorkers | WithoutCell
