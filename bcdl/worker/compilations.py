"""Keeps what a backend compiles from one process to the next, in a folder for all cells that compile the same.

Cells compile the same if they differ in seeds and folds alone and run by the same code, versions and processor. The
first of them is cold: it fills a folder aside, which is put in its place once the cell has run to its end, so that a
process that dies leaves nothing to be loaded. Those after it are warm.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from bcdl.backends import Backend, UnsupportedError
from bcdl.machine import hardware, provenance
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.settings.cell import Cell

# Folders that are kept, those used last. A model's takes a few MiB.
MOST_FOLDERS = 100
_PART = "part-"


@contextlib.contextmanager
def kept(adapter: Backend, cell: Cell) -> Iterator[None]:
    """In this block the backend loads what an equal cell compiled, or compiles it and keeps it for cells to come.

    A backend without such a cache, or a folder that can't be written, changes nothing but the time. What a block that
    fails compiled is not kept.
    """
    with contextlib.ExitStack() as undo:
        place = folder() / _key(cell)
        try:
            used = place if place.is_dir() else _begin(undo)
            adapter.cache_compilations(used)
        except UnsupportedError:
            used = None
        except OSError as error:
            print(f"note: what is compiled can't be kept ({error.strerror or error})", file=sys.stderr)
            used = None
        yield
        if used:
            with contextlib.suppress(OSError):  # the next cell is cold, too
                _keep(used, place, adapter.describe()["compilation_cache"])
            adapter.cache_compilations(None)  # the folder is no longer where it was


def folder() -> Path:
    """The folder of all caches; it may not exist yet."""
    return platformdirs.user_cache_path("bcdl") / "compiled"


def _begin(undo: contextlib.ExitStack) -> Path:
    """A new folder, which goes at the end if it is still there."""
    folder().mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=_PART, dir=folder()))
    undo.callback(shutil.rmtree, new, ignore_errors=True)
    return new


def _keep(used: Path, place: Path, state: str) -> None:
    """Put what was filled in its place; remove what did not serve, so that the next cell fills it anew."""
    if state == "cold":
        used.replace(place)
    elif state == "warm":
        os.utime(place)
    else:
        shutil.rmtree(place)
    by_use = sorted(folder().iterdir(), key=lambda path: path.stat().st_mtime)
    for oldest in by_use[:-MOST_FOLDERS]:
        shutil.rmtree(oldest)


def _key(cell: Cell) -> str:
    """A digest of all that decides what the cell compiles, and for which processor."""
    facts = {
        "settings": comparability.values(Evidence.of_cell(cell), Purpose.DURATION),
        "code": provenance.digest(cell.backend),
        "machine": hardware.describe(cell.device),
        # Machine code for one processor may not run on another of the same name.
        "instructions": hardware.instructions(),
        "flags": {name: value for name, value in os.environ.items() if name.startswith(("XLA_", "JAX_"))},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
