"""Hands a pool from the process that read it to those that train on it: in files, whose images are mapped to memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bcdl.datasets.pool import Pool

_ARRAYS = ("images", "labels", "groups", "names", "given")
_FACTS = ("name", "synthetic", "grouped", "notices")


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
