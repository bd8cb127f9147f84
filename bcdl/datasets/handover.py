"""Hands a pool from the process that read it to those that train on it: in files, whose images are mapped to memory."""

from __future__ import annotations

import json
import shutil
import weakref
from pathlib import Path

import numpy as np

from bcdl.datasets.dataset import Request
from bcdl.datasets.pool import Pool

_ARRAYS = ("images", "labels", "groups", "names", "given", "known")
_FACTS = ("name", "synthetic", "notices", "rules", "facts")


class Handover:
    """Pools by the request that they were read for, in a folder that goes with this object.

    Args:
        folder: the folder; it is made when the first pool is put there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[Request, str] = {}
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def put(self, request: Request, pool: Pool) -> None:
        """Put the pool there, if that has not been done; OSError, and nothing of it is left, if there is no room."""
        if request.unsplit in self._places:
            return
        place = self._folder / str(len(self._places))
        try:
            place.mkdir(parents=True)
            write(pool, place)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        self._places[request.unsplit] = str(place)

    def place_of(self, request: Request) -> str | None:
        """The folder of the pool for the request, whatever its split; None if it was not put there."""
        return self._places.get(request.unsplit)


def write(pool: Pool, folder: Path) -> None:
    """Put the pool into an empty folder; its fingerprints are left out. OSError if there is no room."""
    for name in _ARRAYS:
        array = getattr(pool, name)
        if array is not None:
            np.save(_file(folder, name), array, allow_pickle=False)
    facts = {name: getattr(pool, name) for name in _FACTS}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def read(folder: Path) -> Pool:
    """The pool that `write` put there; its images lie in the file until they are looked at."""
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    facts["notices"] = tuple(facts["notices"])
    small = {name: np.load(file) for name in _ARRAYS[1:] if (file := _file(folder, name)).is_file()}
    return Pool(images=np.load(_file(folder, "images"), mmap_mode="r"), **facts, **small)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"
