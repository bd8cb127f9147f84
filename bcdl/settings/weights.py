"""What `--weights` means for each model: the name that its cell carries, and the file that its worker loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.settings import models
from bcdl.text import encodable

_NAMES = ("none", "imagenet")  # that stand for no file


def from_folder(value: str, folder: Path) -> str:
    """The option's value as one that means the same from the working folder, if its paths lead from `folder`."""
    if value in _NAMES:
        return value
    if "=" in value and not os.path.exists(folder / value):
        pairs = (pair.partition("=") for pair in value.split(","))
        return ",".join(f"{name}={folder / file}" if file else name for name, _, file in pairs)
    return str(folder / value)


def by_model(value: str, rows: Sequence[models.ModelRow]) -> dict[str, tuple[str, str | None]]:
    """For each model by name: the name of the weights in its cell, and the path of their file or None.

    A file that is not given for one model is for every model with a backbone; the CNN has none and starts from `none`.

    Raises:
        UsageError: there is no such file, or it is for a model that can't load it.
    """
    if value in _NAMES:
        return {row.name: (value if row.backbone else "none", None) for row in rows}
    files = _files(value, rows)
    for name, file in files.items():
        if not models.find(name).backbone:
            raise UsageError(f"--weights: {name} has no backbone to load a file into; leave it out")
        if not os.path.isfile(file):  # False of a name that is too long, too
            raise UsageError(f"--weights: there is no file {file!r} for {name}; use none, imagenet or a file's path")
    return {row.name: _named(files.get(row.name)) for row in rows}


def _files(value: str, rows: Sequence[models.ModelRow]) -> dict[str, str]:
    """The path of the file that each model loads, by model; those that load none are left out."""
    if "=" in value and not os.path.exists(value):
        pairs = (pair.partition("=") for pair in value.split(","))
        return {name: file for name, _, file in pairs}
    files = {row.name: value for row in rows if row.backbone}
    if not files:
        raise UsageError(f"--weights {value!r}: {', '.join(row.name for row in rows)} has no backbone to load it into")
    return files


def _named(file: str | None) -> tuple[str, str | None]:
    return (encodable(Path(file).name), str(Path(file).resolve())) if file else ("none", None)
