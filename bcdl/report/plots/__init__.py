"""Plots: one file a plot, found by its function `draw(group)`.

`draw` takes a `bcdl.tables.Group` and yields pairs of a file name (without suffix) and a figure; nothing
where the group has nothing to show. In every plot a backend is a colour and a model a marker.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def modules() -> dict[str, ModuleType]:
    """Every plot by name: the modules of this package that offer `draw`."""
    found = {m.name: importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)}
    return {name: module for name, module in found.items() if hasattr(module, "draw")}
