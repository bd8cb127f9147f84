"""Keeps what a backend compiles from one process to the next, in a folder for all cells that compile the same.

Cells compile the same if they differ in seeds, splits and folds alone and run by the same code, versions and processor.
A process takes the folder aside while it uses it, or begins a new one, and puts it back once its cell has run to the
end: so two processes never share one, and one that dies leaves nothing to be loaded by the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from bcdl.backends import Backend, UnsupportedError
from bcdl.machine import hardware, places, provenance
from bcdl.machine.places import NoPlaceError
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.screen import warn
from bcdl.settings.cell import Cell

# Folders that are kept, those used last. A model's takes a few MiB.
MOST_FOLDERS = 100
_ASIDE = "aside-"
_DEAD_AFTER_S = 7 * 24 * 3600  # no cell takes so long: its process has died


@contextlib.contextmanager
def kept(adapter: Backend, cell: Cell) -> Iterator[None]:
    """In this block the backend loads what an equal cell compiled, and keeps for cells to come what it compiles.

    A backend without such a cache, or a folder that can't be written, changes nothing but the time. After a block that
    fails nothing is kept.
    """
    with contextlib.ExitStack() as undo:
        try:
            place = folder() / _key(cell)
            aside = _take_aside(place, undo)
            adapter.cache_compilations(aside)
        except UnsupportedError:
            aside = None
        except (OSError, NoPlaceError) as error:
            reason = getattr(error, "strerror", None) or error
            warn(f"note: what is compiled can't be kept ({reason})")
            aside = None
        if aside:
            undo.callback(adapter.cache_compilations, None)
        yield
        if aside:
            with contextlib.suppress(OSError):  # another process has put its own there meanwhile
                _put_back(aside, place)


def folder() -> Path:
    """The folder of all caches; it may not exist yet. NoPlaceError if the user has no cache folder."""
    return places.cache() / "compiled"


def _take_aside(place: Path, undo: contextlib.ExitStack) -> Path:
    """The folder that was kept, or a new one, under a name of its own; `undo` removes it if it is still there then."""
    folder().mkdir(parents=True, exist_ok=True)
    aside = folder() / f"{_ASIDE}{secrets.token_hex(8)}"
    undo.callback(shutil.rmtree, aside, ignore_errors=True)
    try:
        place.rename(aside)
        os.utime(aside)
    except FileNotFoundError:
        aside.mkdir()
    return aside


def _put_back(aside: Path, place: Path) -> None:
    """Put a folder in its place, and remove those that were not used for long."""
    os.utime(aside)  # when it was used last
    aside.rename(place)
    by_use = sorted((path.stat().st_mtime, path) for path in folder().iterdir())
    now, _ = by_use[-1]
    whole = [path for _, path in by_use if not path.name.startswith(_ASIDE)]
    dead = [path for used, path in by_use if path.name.startswith(_ASIDE) and now - used > _DEAD_AFTER_S]
    for path in (*whole[:-MOST_FOLDERS], *dead):
        shutil.rmtree(path)


def _key(cell: Cell) -> str:
    """A digest of all that decides what the cell compiles, and for which processor."""
    # Of the variables, those of compilers count with all that they say.
    machine = {name: fact for name, fact in hardware.describe(cell.device).items() if name != "variables"}
    facts = {
        "settings": comparability.values(Evidence.of_cell(cell), Purpose.DURATION),
        "code": provenance.digest(cell.backend),
        "machine": machine,
        # Machine code for one processor may not run on another of the same name.
        "instructions": hardware.instructions(),
        "flags": {name: value for name, value in os.environ.items() if name.startswith(("XLA_", "JAX_"))},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
