"""Plots: one file a plot, known by its function `draw(group)`.

`draw` takes a `bcdl.records.groups.Group` and yields pairs of a file name (without suffix) and a figure; nothing
if the group has nothing to show. In every plot a backend is a colour and a model a marker.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bcdl.records.groups import Group


def draw(group: Group) -> Iterator[tuple[str, Figure]]:
    """Every figure of a group with its name, each drawn as it is asked for."""
    for module in modules().values():
        yield from module.draw(group)


def shows(name: str) -> str:
    """What the figure of that name shows, in words, for those who can't see it."""
    of_module = max((each for each in modules() if name.startswith(each)), key=len)
    return (modules()[of_module].__doc__ or "").partition("\n")[0].rstrip(".")


def modules() -> dict[str, ModuleType]:
    """Every plot by name: the modules of this package that offer `draw`."""
    every = {m.name: importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)}
    return {name: module for name, module in every.items() if hasattr(module, "draw")}
