"""The folders of a user that outlast a run: bcdl's cache, Keras's folder, matplotlib's; and what is done without.

A user of a container may have no home, no name, or nothing that may be written. That costs time and nothing else, and
is told in a line. Here alone it is decided which folder is used.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from bcdl.machine import scratch
from bcdl.text import legible

_KERAS_FILE = "keras.json"
# What Keras takes in its file; of anything else it can't be imported (keras/src/backend/config.py).
_KERAS_CHOICES = {
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
    # It would have Keras run other code than what is measured, whatever KERAS_NNX_ENABLED says.
    "nnx_enabled": (False, None),
}


class NoPlaceError(Exception):
    """The user has no such folder; the message says why."""


def cache() -> Path:
    """The folder of what bcdl decodes and compiles; it may not exist yet.

    Raises:
        NoPlaceError: the user has no cache folder.
    """
    try:
        path = platformdirs.user_cache_path("bcdl")
    except RuntimeError as error:  # the system does not know the user either
        raise NoPlaceError("there is no home folder; set HOME or XDG_CACHE_HOME") from error
    if not path.is_absolute():  # as with earlier versions of platformdirs
        raise NoPlaceError(f"{str(path.parent)!r} is no absolute path; set HOME or XDG_CACHE_HOME")
    return path


def keras() -> Path:
    """The folder of Keras's settings, and of weights and data that are downloaded, as Keras chooses it.

    It may not exist yet.
    """
    if chosen := os.environ.get("KERAS_HOME"):
        return Path(chosen)
    home = os.path.expanduser("~")
    return Path(home if os.access(home, os.W_OK) else "/tmp", ".keras")


def keras_settings() -> dict[str, Any]:
    """What Keras's file of settings says; nothing if there is none, or if it is no JSON, as Keras has it.

    Raises:
        ValueError: with this file Keras could not be imported, or would not run what is measured; the message says why.
    """
    file = keras() / _KERAS_FILE
    try:
        if not os.path.lexists(file):
            return {}
        if not file.is_file():
            raise ValueError("it is no file")
        text = file.read_bytes().decode()
        values = json.loads(text)
    except (OSError, RecursionError) as error:
        raise ValueError(f"it can't be read ({getattr(error, 'strerror', None) or error})") from error
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    _check_keras_settings(values)
    return dict(values)


def _check_keras_settings(values: Any) -> None:
    if not isinstance(values, dict):
        raise ValueError("it holds no settings by name")
    for name, choices in _KERAS_CHOICES.items():
        if values.get(name, choices[0]) not in choices:
            raise ValueError(f"{name} is {legible(repr(values[name]), 40)}, none of {', '.join(map(str, choices))}")
    if not isinstance(values.get("epsilon", 1e-7), float):
        raise ValueError(f"epsilon is {legible(repr(values['epsilon']), 40)}, no number with a decimal point")


def downloads(name: str) -> Path:
    """The folder that has, or is to take, a downloaded file of that name: Keras's, or else one that can be written."""
    choices = [keras() / "datasets"]
    with contextlib.suppress(NoPlaceError):
        choices.append(cache() / "datasets")
    there = [folder for folder in choices if (folder / name).is_file()]
    return there[0] if there else _usable(choices)


def settle() -> None:
    """Make this process one in which Keras and its backend start, whatever the user has and lacks.

    It is to be called before Keras is imported.
    """
    if _doubt_of_keras_settings() or os.environ.get("KERAS_HOME") == "":  # Keras would take the working directory
        os.environ["KERAS_HOME"] = str(_own("keras"))
    if not _user_has_name():
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"  # torch names a folder by it


def settle_matplotlib() -> None:
    """Give matplotlib, which is to be imported afterwards, a folder that can be written, if it has none."""
    if "matplotlib" not in sys.modules and _doubt_of_matplotlib():
        os.environ["MPLCONFIGDIR"] = str(_own("matplotlib"))


_told: set[str] = set()


def notices() -> list[str]:
    """Lines for people about what is done without, each once a process."""
    lines = [line for line in _notices() if line not in _told]
    _told.update(lines)
    return lines


def _notices() -> Iterator[str]:
    if doubt := _doubt_of_cache():
        yield f"note: what is decoded and compiled is not kept for the next run: {doubt}"
    if doubt := _doubt(keras()):
        yield f"note: weights and data that are downloaded are not kept: {doubt}; set KERAS_HOME to another folder"
    if doubt := _doubt_of_keras_settings():
        file = legible(str(keras() / _KERAS_FILE))
        yield f"note: {file} is not used, nor the weights beside it: {doubt}; Keras starts without it"
    if doubt := _doubt_of_matplotlib():
        yield f"note: matplotlib looks for fonts anew in each run: {doubt}; set MPLCONFIGDIR to another folder"


def _own(name: str) -> Path:
    """A folder of that name in bcdl's cache, or, if that can't be written, one that lasts as long as this process."""
    with contextlib.suppress(NoPlaceError):
        return _usable([cache() / name])
    return scratch.of_process()


def _usable(choices: Sequence[Path]) -> Path:
    """The first of the folders that can be written, which is made, or else one that lasts as long as this process."""
    for folder in choices:
        if not _doubt(folder):
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                return folder
    return scratch.of_process()


def _doubt(folder: Path) -> str:
    """Why nothing can be written into the folder, which may not exist yet; empty if it can."""
    shown = legible(str(folder))
    try:
        nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        if not nearest.is_dir():
            return f"{legible(str(nearest))} is no folder"
    except (OSError, ValueError) as error:
        return f"{shown} can't be used ({error})"
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{shown} can't be written"


def _doubt_of_cache() -> str:
    try:
        doubt = _doubt(cache())
    except NoPlaceError as error:
        return str(error)
    return f"{doubt}; set XDG_CACHE_HOME to another folder" if doubt else ""


def _doubt_of_keras_settings() -> str:
    try:
        keras_settings()
    except ValueError as error:
        return str(error)
    return ""


def _doubt_of_matplotlib() -> str:
    """Why a folder can't be used that matplotlib keeps settings and its list of fonts in; empty if all can."""
    if chosen := os.environ.get("MPLCONFIGDIR"):
        return _doubt(Path(chosen).absolute())
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        return "there is no home folder"
    variables = ("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache")
    folders = (os.environ.get(variable) or os.path.join(home, default) for variable, default in variables)
    return next(filter(None, (_doubt(Path(folder, "matplotlib")) for folder in folders)), "")


def _user_has_name() -> bool:
    try:
        return bool(getpass.getuser())
    except (KeyError, OSError, ImportError):  # which it is depends on the version of Python
        return False
