"""What an experiment is made of. No Keras here: a definition is read before its backend is started."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bcdl.settings.job import Job

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell

MODELS = "cnn,mobilenet"
IMAGES_PER_S = "images/s"
# One round of a way: its figures by name, most often just one of the way's own name.
Way = Callable[[], dict[str, float]]


def _no_options(add: Callable[..., Any]) -> None:
    """Add no option."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shared:
    """What both kinds of experiment say.

    Attributes:
        name: as records and the page have it.
        models: which are measured unless --models names others, separated by commas.
        unit: of the figures; more is better unless it is a time, `s`.
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
        ways: makes what is compared, by name, of a cell; all others are held against the first.
    """

    ways: Callable[[TrainingCell], Mapping[str, Way]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InWorkers(_Shared):
    """An experiment whose ways start a worker each, so that a round has a process of its own for each way.

    Attributes:
        ways: makes what is compared, by name, of a job and the options that were given; as above.
        subject: what is measured, in words; the cell in words if empty.
        slowdowns: the share that a way was slowed down by on purpose, by the way's name.
    """

    ways: Callable[[Job, argparse.Namespace], Mapping[str, Way]]
    subject: str = ""
    slowdowns: Mapping[str, float] = dataclasses.field(default_factory=dict)


Definition = InProcess | InWorkers
