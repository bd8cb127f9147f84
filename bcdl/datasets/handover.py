"""Hands a pool from the process that read it to those that train on it: in files, whose images are mapped to memory."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bcdl.datasets import cache
from bcdl.datasets.dataset import Request
from bcdl.datasets.mapped import release
from bcdl.datasets.pool import Pool
from bcdl.errors import BcdlError

_ARRAYS = ("images", "labels", "groups", "names", "given", "known")
_FACTS_FILE = "facts.txt"  # behind a line with a digest
_REMEDY = "leave the folder of a run alone, and run this cell again"
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
    """Put the pool into an empty folder; OSError if there is no room.

    Its fingerprints, duplicates and what hides its names are left out: the driver alone looks for leaks and hides
    names.
    """
    for name in _ARRAYS:
        array = getattr(pool, name)
        if array is not None:
            np.save(_file(folder, name), array, allow_pickle=False)
            release(array)
    facts = json.dumps({name: getattr(pool, name) for name in _FACTS})
    digest = _digest(facts, {name: array for name in _ARRAYS[1:] if (array := getattr(pool, name)) is not None})
    (folder / _FACTS_FILE).write_text(f"{digest}\n{facts}", encoding="utf-8")


def read(folder: Path) -> Pool:
    """The pool that `write` put there; its images lie in the file until they are looked at.

    They are not hashed here: whoever trains on them compares the checksum of the whole data set.

    Raises:
        BcdlError: it is damaged.
    """
    try:
        digest, text = (folder / _FACTS_FILE).read_text(encoding="utf-8").split("\n", 1)
        small = {name: np.load(file) for name in _ARRAYS[1:] if (file := _file(folder, name)).is_file()}
        images = np.load(_file(folder, "images"), mmap_mode="r")
    except Exception as error:  # readers of npy raise all kinds of errors on broken bytes
        raise BcdlError(f"the data that the run read can't be read again ({error}); {_REMEDY}") from error
    if digest != _digest(text, small) or len(images) != len(small["labels"]):
        raise BcdlError(f"the data that the run read was changed since; {_REMEDY}")
    facts = json.loads(text)
    facts["notices"] = tuple(facts["notices"])
    return Pool(images=images, **facts, **small)


def _digest(facts: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Of the facts and of all arrays but the images."""
    parts = [f"{name} {array.dtype} {array.shape}".encode() + array.tobytes() for name, array in arrays.items()]
    return cache.key_of(facts, *parts)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"
