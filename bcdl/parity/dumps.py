"""What a backend computed of a model, on the disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcdl.errors import UsageError
from bcdl.parity.settings import Plan

_FACTS = "facts.json"


_LOADED = "loaded.json"


_DETERMINISM = "determinism.json"


_CHECKPOINT = "checkpoint.keras"


@dataclasses.dataclass(frozen=True)
class Dump:
    """What one backend computed of one model: a folder of vectors, and facts in JSON, written last.

    A vector is one-dimensional; `facts["segments"][vector]` names its parts, in order, as [name, length].
    """

    folder: Path

    def write(self, vectors: Mapping[str, Sequence[tuple[str, np.ndarray]]], facts: dict[str, Any]) -> None:
        """Write the vectors, each given by its named parts, then the facts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in (_FACTS, _LOADED, _DETERMINISM):
            (self.folder / stale).unlink(missing_ok=True)
        segments = {}
        for name, named in vectors.items():
            segments[name] = [[part, int(array.size)] for part, array in named]
            np.save(self.folder / f"{name}.npy", np.concatenate([array.ravel() for _, array in named]))
        whole = {**facts, "segments": segments}
        (self.folder / _FACTS).write_text(json.dumps(whole), encoding="utf-8")

    @property
    def exists(self) -> bool:
        return (self.folder / _FACTS).is_file()

    @property
    def facts(self) -> dict[str, Any]:
        """The facts; UsageError where the dump is not there or not whole."""
        try:
            facts: dict[str, Any] = json.loads((self.folder / _FACTS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no whole parity dump in {self.folder}: make it anew with python -m bcdl.parity"
            ) from error
        return facts

    def vector(self, name: str) -> np.ndarray:
        """The vector, read from the disk as it is used."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    @property
    def checkpoint(self) -> Path:
        return self.folder / _CHECKPOINT

    def write_loaded(self, found: dict[str, Any]) -> None:
        """Keep what came of loading each backend's checkpoint on this dump's backend."""
        self._write_later(_LOADED, found)

    @property
    def loaded(self) -> dict[str, Any]:
        """What `write_loaded` kept, by saver; empty where checkpoints were not exchanged since the dump."""
        return self._read_later(_LOADED)

    def write_determinism(self, found: dict[str, Any]) -> None:
        """Keep whether this dump's backend repeats itself, and what it costs to make it."""
        self._write_later(_DETERMINISM, found)

    @property
    def determinism(self) -> dict[str, Any]:
        """What `write_determinism` kept; empty where it was not asked since the dump."""
        return self._read_later(_DETERMINISM)

    def _write_later(self, name: str, found: dict[str, Any]) -> None:
        (self.folder / name).write_text(json.dumps(found), encoding="utf-8")

    def _read_later(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def dump_of(results: Path, plan: Plan, who: str) -> Dump:
    """The dump of a backend, or of the float64 reference, for that plan."""
    return Dump(folder(results) / plan.precision / who / plan.model)


def units_of(results: Path, precision: str, backend: str) -> Path:
    """The file of a backend's relative errors by row of `units`, in `precision` or in float64."""
    return folder(results) / precision / f"units-{backend}.json"


def folder(results: Path) -> Path:
    """Where dumps lie: gigabytes that are never committed."""
    return results / "local" / "parity"


def relative(difference: np.ndarray, of: np.ndarray) -> float:
    """Euclidean norm of `difference` as a share of that of `of`, in float64; 0 where both are 0."""
    top = float(np.linalg.norm(np.asarray(difference, dtype=np.float64)))
    bottom = float(np.linalg.norm(np.asarray(of, dtype=np.float64)))
    if bottom == 0:
        return 0.0 if top == 0 else float("inf")
    return top / bottom
