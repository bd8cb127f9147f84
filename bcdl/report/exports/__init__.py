"""Exports: records in the form of another tool. One file a format; `names` lists the files here.

A file has a docstring, whose first sentence is what `bcdl export` lists, and `text`, which makes the whole export from
records, the oldest first, each with its machine.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.records.record import Record
from bcdl.text import first_sentence

Export = Callable[[Sequence[tuple[str, Record]]], str]


def names() -> list[str]:
    """The names of all formats, as the command takes them: those of their files, with hyphens."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def summary(name: str) -> str:
    """The first sentence of the format's docstring; its file is read, and not imported."""
    source = Path(__file__).with_name(f"{_module(name)}.py").read_text(encoding="utf-8")
    return first_sentence(source)


def load(name: str) -> Export:
    """What makes the export of that format; UsageError if there is none."""
    if name.replace("_", "-") not in names():
        raise UsageError(f"unknown format {name!r}; the formats are {', '.join(names())}")
    export: Export = importlib.import_module(f"{__name__}.{_module(name)}").text
    return export


def _module(name: str) -> str:
    return name.replace("-", "_")
