"""Experiments: the same thing measured in several ways in turn. One file an experiment; `names` lists the files here.

A file has a docstring, whose first sentence is what `bcdl experiment` lists, and `EXPERIMENT`, a definition that gives
the ways to measure a cell: `InProcess` for ways on a model that trains in one process, `InWorkers` for ways that start
a worker each. `engine` runs them; `workers` holds the workers that stand in for `bcdl.worker`.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from bcdl.errors import UsageError
from bcdl.text import first_sentence

if TYPE_CHECKING:
    from bcdl.experiments.engine.definition import Definition


def names() -> list[str]:
    """The names of all experiments, as commands take them: those of their files, with hyphens."""
    modules = pkgutil.iter_modules(__path__)
    return sorted(module.name.replace("_", "-") for module in modules if not module.ispkg)


def summary(name: str) -> str:
    """The first sentence of the experiment's docstring; its file is read, and not imported."""
    source = Path(__file__).with_name(f"{_module(name)}.py").read_text(encoding="utf-8")
    return first_sentence(source) + "."


def load(name: str) -> Definition:
    """The experiment of that name; UsageError if there is none."""
    if name.replace("_", "-") not in names():
        raise UsageError(f"unknown experiment {name!r}; the experiments are {', '.join(names())}")
    definition: Definition = importlib.import_module(f"{__name__}.{_module(name)}").EXPERIMENT
    return definition


def describe(name: str) -> str:
    """The whole docstring of the experiment."""
    return importlib.import_module(f"{__name__}.{_module(name)}").__doc__ or ""


def _module(name: str) -> str:
    return name.replace("-", "_")
