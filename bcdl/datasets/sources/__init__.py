"""The sources of images: each module of this folder is one, and has the functions of `Source`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from bcdl.datasets.dataset import Request
from bcdl.datasets.pool import Pool


class Source(Protocol):
    """What the module of a source has.

    Attributes:
        READS: what `--data` names for it to be read, as a message lists it.
    """

    READS: str

    def accepts(self, data: str) -> bool:
        """Whether this source reads what `--data` names."""

    def is_name(self, data: str) -> bool:
        """Whether this source reads what `--data` names whatever files there are; never of a path."""

    def name_of(self, data: str) -> str:
        """The name that cells and records carry for it."""

    def read(self, request: Request) -> Pool:
        """The images, at the size of the request; UsageError if they can't be read or used."""

    def example(self, folder: Path) -> str:
        """Write a small data set under `folder` if the source needs one; the `--data` that names it, for tests."""


def modules() -> dict[str, Source]:
    """Every source by name."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return {name: cast(Source, importlib.import_module(f"{__name__}.{name}")) for name in names}
