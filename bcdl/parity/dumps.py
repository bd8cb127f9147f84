"""Dumps: what a backend computed of a model, on the disk. They are local: another bcdl reads none, and git has none."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from bcdl.errors import UsageError
from bcdl.parity.findings import DatasetFacts, Determinism, Draw
from bcdl.parity.settings import Plan
from bcdl.records import disk, runs
from bcdl.records.shapes import Environment

# Raised if the files of a dump change, so that one of another bcdl is refused rather than misread.
_FORMAT = 3
_FACTS = "facts.json"
_LOADED = "loaded.json"
_DETERMINISM = "determinism.json"
_CHECKPOINT = "checkpoint.keras"

# Arrays of any shape, each with the name of the layer or the path of the variable that it belongs to.
Parts = Sequence[tuple[str, np.ndarray]]


class Provenance(TypedDict):
    """Where the figures of a dump or a reference come from. `started` and `ended` are UTC, ISO 8601."""

    plan: dict[str, Any]
    dataset: DatasetFacts
    started: str
    ended: str
    environment: Environment


class Resumed(TypedDict):
    """How the backend that saved a checkpoint goes on: digest of the state, outputs [B, 2], and both one step later.

    `resumed_loss` is in nats.
    """

    state: str
    outputs: list[list[float]]
    resumed_loss: float
    resumed_outputs: list[list[float]]


class Loaded(TypedDict, total=False):
    """The same on a backend that loaded the checkpoint, and whether it needed no help; or `error` alone."""

    state: str
    outputs: list[list[float]]
    resumed_loss: float
    resumed_outputs: list[list[float]]
    loads_as_it_is: bool
    error: str


class BackendFacts(Provenance):
    """What a backend's dump holds beside its vectors.

    `start` and `settled` are digests of the weights, `definition` that of the model's configuration, `first_batch` that
    of the first step's images and labels, `batches` one digest an epoch, `losses` nats by step, `steps_s` seconds of
    all steps, `layers` the type of each layer by name.
    """

    start: str
    settled: str
    definition: str
    first_batch: str
    batches: list[str]
    losses: list[float]
    repeats_itself: bool
    steps_s: float
    chaos: list[Draw]
    layers: dict[str, str]
    resumed: Resumed


@dataclasses.dataclass(frozen=True)
class Dump:
    """What was computed of one model: a folder of one-dimensional vectors, and facts in JSON, written last."""

    folder: Path

    def write(self, vectors: Mapping[str, Parts], facts: BackendFacts) -> None:
        """Write the vectors, each given by its named parts, then the facts; UsageError if the disk does not take them.

        Results of loading or timing that belong to an earlier dump are removed.
        """
        with disk.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for stale in (_FACTS, _LOADED, _DETERMINISM):
                (self.folder / stale).unlink(missing_ok=True)
            segments = {}
            for name, parts in vectors.items():
                segments[name] = [[part, int(array.size)] for part, array in parts]
                np.save(self.folder / f"{name}.npy", np.concatenate([array.ravel() for _, array in parts]))
        self._write(_FACTS, {"format": _FORMAT, "facts": facts, "segments": segments})

    @property
    def exists(self) -> bool:
        return (self.folder / _FACTS).is_file()

    @property
    def is_whole(self) -> bool:
        """Whether it is there, and of this bcdl."""
        try:
            return bool(self._whole())
        except UsageError:
            return False

    @property
    def facts(self) -> BackendFacts:
        """The facts; UsageError if the dump is not there, not whole, or made by another bcdl."""
        facts: BackendFacts = self._whole()["facts"]
        return facts

    @property
    def segments(self) -> dict[str, list[tuple[str, int]]]:
        """The parts of each vector, in order: the name and the length of each; UsageError as for the facts."""
        return {
            vector: [(name, length) for name, length in parts] for vector, parts in self._whole()["segments"].items()
        }

    def vector(self, name: str) -> np.ndarray:
        """The vector, read from the disk as it is used; UsageError if it can't be."""
        try:
            return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._not_whole() from error

    @property
    def checkpoint(self) -> Path:
        return self.folder / _CHECKPOINT

    def write_loaded(self, loaded: Mapping[str, Loaded]) -> None:
        """Keep the results of loading each backend's checkpoint on this dump's backend, by the saving backend."""
        self._write(_LOADED, loaded)

    @property
    def loaded(self) -> dict[str, Loaded]:
        """What `write_loaded` kept; empty if checkpoints were not exchanged since the dump."""
        loaded: dict[str, Loaded] = self._read_if_there(_LOADED)
        return loaded

    def write_determinism(self, determinism: Determinism) -> None:
        """Keep what it costs to make this dump's backend repeat itself."""
        self._write(_DETERMINISM, determinism)

    @property
    def determinism(self) -> Determinism:
        """What `write_determinism` kept; empty if that was not measured since the dump."""
        determinism: Determinism = self._read_if_there(_DETERMINISM)
        return determinism

    def _whole(self) -> dict[str, Any]:
        values = self._read(_FACTS)
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise self._not_whole()
        return values

    def _write(self, name: str, values: object) -> None:
        with disk.writing(self.folder):
            disk.replace(self.folder / name, json.dumps(values).encode())

    def _read_if_there(self, name: str) -> Any:
        return self._read(name) if (self.folder / name).is_file() else {}

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._not_whole() from error

    def _not_whole(self) -> UsageError:
        return UsageError(f"no whole parity dump of this bcdl in {self.folder}: make it anew with bcdl parity")


def dump_of(results: Path, plan: Plan, name: str) -> Dump:
    """The dump for that plan of the backend, or of the side of several of one backend, with this name."""
    return Dump(folder_of(results, plan.precision, name) / plan.model)


def folder_of(results: Path, precision: str, name: str) -> Path:
    """The folder of all dumps in that precision of the backend, or of the side, with this name."""
    return _folder(results, precision) / name


def write_layer_checks(results: Path, precision: str, backend: str, errors: Mapping[str, float]) -> None:
    """Keep the backend's relative error of each layer check in that precision."""
    file = _layer_checks_file(results, precision, backend)
    with disk.writing(file):
        disk.replace(file, json.dumps(errors).encode())


def read_layer_checks(results: Path, precision: str, backend: str) -> dict[str, float]:
    """What `write_layer_checks` kept; UsageError if it is not there or not whole."""
    try:
        errors: dict[str, float] = json.loads(_layer_checks_file(results, precision, backend).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no layer checks of {backend} in {precision} under {results}: make the dumps of {backend} anew with bcdl "
            "parity"
        ) from error
    return errors


def relative(difference: np.ndarray, of: np.ndarray) -> float:
    """Euclidean norm of `difference` as a share of that of `of`, in float64; 0 if both are 0."""
    top = float(np.linalg.norm(np.asarray(difference, dtype=np.float64)))
    bottom = float(np.linalg.norm(np.asarray(of, dtype=np.float64)))
    if bottom == 0:
        return 0.0 if top == 0 else float("inf")
    return top / bottom


def _layer_checks_file(results: Path, precision: str, backend: str) -> Path:
    return _folder(results, precision) / f"layer-checks-{backend}.json"


def _folder(results: Path, precision: str) -> Path:
    """The dumps of that precision: gigabytes that are never committed."""
    return results / runs.LOCAL / "parity" / precision
