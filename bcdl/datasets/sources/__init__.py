"""The sources of images: one file a kind, found by being here.

A source is a module with four functions:

- `accepts(data)`: whether this source reads what `--data` names;
- `name_of(data)`: the name that cells and records carry for it;
- `read(request)`: the images, as a `bcdl.datasets.pool.Pool`;
- `example(folder)`: writes a small data set under `folder` if it needs one, and returns the `--data` that names it;
  the contract tests use it.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def modules() -> dict[str, ModuleType]:
    """Every source by name."""
    return {m.name: importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)}
