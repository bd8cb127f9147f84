"""What a parity run compares, and the folders its dumps lie in. Never imports Keras."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcdl.errors import UsageError

# Steps after which weights and loss are compared.
STEPS = (1, 5, 20)
# Steps run a second time in the same process, to see whether the backend repeats itself.
REPEATED_STEPS = 5
# A power of two: after the first step a momentum slot holds -rate * gradient, from which the gradient comes
# back exactly.
LEARNING_RATE = 2.0**-10
MOMENTUM = 0.9
DATA = "synthetic-72"
# Half the distance from 1 to the next larger number: the most that rounding once can do, relatively.
UNIT_ROUNDOFF = {"float32": 2.0**-24, "tf32": 2.0**-11, "mixed_bfloat16": 2.0**-8}
# Units in the last place by which the reference's weights and pixels are moved. In float32 a layer's own sums round
# many times: over K terms the error grows like the square root of K (Higham 2002, section 4.2), and the longest sums
# here have some thousand terms. Where only the factors are rounded and sums are kept in float32, a few units do.
# Moved by one unit and scaled up, the change would miss the jumps at kinks (ReLU, ties in pooling).
MOVED_ULPS = {"float32": 32, "tf32": 4, "mixed_bfloat16": 4}
REFERENCE = "reference"
_FACTS = "facts.json"
_LOADED = "loaded.json"
_DETERMINISM = "determinism.json"
_CHECKPOINT = "checkpoint.keras"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is compared of one model.

    Attributes:
        model: name of a row of `bcdl.models.MODELS`.
        image_size: height and width of the images, pixels.
        batch_size: images a batch.
        seed: of initial weights, order of images and augmentation.
        precision: the arithmetic under test: `float32`, `tf32` or `mixed_bfloat16`.
        device: `cpu` or `gpu`.
        draws: perturbed runs that tell the size of chaos and of rounding.
    """

    model: str
    image_size: int
    batch_size: int
    seed: int
    precision: str
    device: str
    draws: int

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def least_tolerance(self) -> float:
        """The relative difference that is rounding in any quantity: as many roundoffs as the reference is moved by."""
        return MOVED_ULPS[self.precision] * UNIT_ROUNDOFF[self.precision]


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
