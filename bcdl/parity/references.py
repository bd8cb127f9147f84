"""The float64 reference of a model: one file, small enough to be carried to a machine that can't make it.

It does not depend on the arithmetic under test, nor on its device. It has the images and the sizes that a dump begins
with, sketches of all that was computed from them, and what rounding in each precision may do to each.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from bcdl.errors import UsageError
from bcdl.parity.dumps import Parts, Provenance
from bcdl.parity.settings import Plan
from bcdl.parity.sketches import LENGTH, sketch
from bcdl.records import disk, runs

# Raised if the content of the file changes, so that one of another bcdl is refused rather than misread.
_FORMAT = 1
# What `file_of` names.
FILE_NAME = re.compile(r"(?P<model>[a-z0-9]+)-(?P<size>[0-9]+)px-b(?P<batch>[0-9]+)-seed(?P<seed>[0-9]+)\.npz")
_ARRAYS = ("images", "labels", "sketches")
# What NumPy and the modules beneath it raise for damaged files; a shape that was damaged may ask for any memory.
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


class Rounding(TypedDict):
    """The largest relative change over the draws: of the loss, of each vector, and of each of its parts in order.

    `moved` is half the share by which weights and pixels were moved.
    """

    moved: float
    loss: float
    whole: dict[str, float]
    parts: dict[str, list[float]]


class ReferenceFacts(Provenance):
    """What the reference holds beside its vectors; `plan` has what it depends on alone.

    `start` and `settled` are digests of the weights, `definition` that of the model's configuration, `loss` is in nats.
    `sizes` are those by which batch norms and logits were settled, by layer. `worst_layer_check` is the largest
    relative error of its backend in float64 against NumPy, `gradient_check` the relative gap between its gradient and a
    central difference of the loss. `rounding` is by precision.
    """

    backend: str
    start: str
    settled: str
    definition: str
    sizes: dict[str, float]
    loss: float
    worst_layer_check: float
    gradient_check: float
    rounding: dict[str, Rounding]


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a vector of the reference: its name, its number of elements, its norm and its sketch."""

    name: str
    size: int
    norm: float
    sketch: np.ndarray


@dataclasses.dataclass(frozen=True)
class Reference:
    """What was computed of one model in float64.

    Attributes:
        facts: see `ReferenceFacts`.
        images: of the first batch, before preprocessing, [B, S, S, 3] uint8.
        labels: of the same, one-hot, [B, 2] float32.
        vectors: the parts of each, by its name.
    """

    facts: ReferenceFacts
    images: np.ndarray
    labels: np.ndarray
    vectors: Mapping[str, Sequence[Part]]

    @property
    def first_batch(self) -> str:
        """The digest of the images and labels that it was computed from."""
        return batch_digest(self.images, self.labels)


def batch_digest(images: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 of a batch before preprocessing: [B, S, S, 3] uint8 and [B, 2] float32."""
    return hashlib.sha256(np.ascontiguousarray(images).tobytes() + np.ascontiguousarray(labels).tobytes()).hexdigest()


def default_folder(results: Path) -> Path:
    """Where references lie if nobody names a folder: beside the dumps, in no commit."""
    return results / runs.LOCAL / "parity" / "references"


def file_of(folder: Path, plan: Plan) -> Path:
    """The file of the reference for that plan; `FILE_NAME` reads its name."""
    return folder / f"{plan.model}-{plan.image_size}px-b{plan.batch_size}-seed{plan.seed}.npz"


def write(
    folder: Path,
    plan: Plan,
    facts: ReferenceFacts,
    images: np.ndarray,
    labels: np.ndarray,
    vectors: Mapping[str, Parts],
) -> Path:
    """Write the file, whole or not at all; UsageError if the disk does not take it."""
    table = {
        name: [(part, int(array.size), float(np.linalg.norm(array))) for part, array in parts]
        for name, parts in vectors.items()
    }
    sketches = np.concatenate([sketch(array) for parts in vectors.values() for _, array in parts])
    values = np.frombuffer(json.dumps({"format": _FORMAT, "facts": facts, "vectors": table}).encode(), dtype=np.uint8)
    arrays = {"values": values, "images": images, "labels": labels, "sketches": sketches}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, checksum=np.array(_checksum(arrays)), **arrays)
    file = file_of(folder, plan)
    with disk.writing(file):
        return disk.replace(file, content.getvalue())


def find(folder: Path, plan: Plan) -> Reference | None:
    """The reference for that plan, None if there is none; UsageError if it is not whole or of other settings."""
    file = file_of(folder, plan)
    if not file.exists():
        return None
    reference = read(file)
    check_settings(reference.facts, plan)
    return reference


def check_there(folder: Path, plans: Sequence[Plan]) -> None:
    """UsageError if the reference of a plan is not in the folder."""
    missing = [file_of(folder, plan).name for plan in plans if not file_of(folder, plan).is_file()]
    if missing:
        raise UsageError(
            f"there is no {', '.join(missing)} in {folder}: make it with bcdl parity reference, on a machine whose "
            "backend has sound float64 on the CPU, or leave --reference out"
        )


def check(reference: Reference, plan: Plan, facts: Mapping[str, Any], whose: str) -> None:
    """UsageError if the reference was not made from the weights, model and images of a dump, given by its facts.

    `whose` names the dump.
    """
    expected = {
        "other initial weights": reference.facts["start"] == facts["start"],
        "another model definition": reference.facts["definition"] == facts["definition"],
        "other images": reference.first_batch == facts["first_batch"],
    }
    if wrong := [what for what, same in expected.items() if not same]:
        raise UsageError(
            f"the reference of {plan.model} was made from {' and '.join(wrong)} than {whose}: make both anew, with one "
            "bcdl and one Keras"
        )


def read(file: Path) -> Reference:
    """The reference in the file, of whatever plan; UsageError if it is not whole or of another bcdl."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("values", *_ARRAYS)}
            checksum = str(archive["checksum"])
        values = json.loads(arrays["values"].tobytes())
        whole = checksum == _checksum(arrays) and values["format"] == _FORMAT
    except _UNREADABLE:
        whole = False
    if not whole:
        raise UsageError(
            f"{file} is no whole parity reference of this bcdl: copy it again, or make it with bcdl parity reference"
        )
    return Reference(values["facts"], arrays["images"], arrays["labels"], _parts(values["vectors"], arrays["sketches"]))


def _parts(table: Mapping[str, Any], sketches: np.ndarray) -> dict[str, list[Part]]:
    rest = sketches
    vectors: dict[str, list[Part]] = {}
    for vector, parts in table.items():
        vectors[vector] = []
        for name, size, norm in parts:
            length = min(size, LENGTH)
            vectors[vector].append(Part(name, size, norm, rest[:length]))
            rest = rest[length:]
    return vectors


def check_settings(facts: ReferenceFacts, plan: Plan) -> None:
    """UsageError if the reference is of another plan, or its rounding of another bcdl."""
    differing = [
        f"{name.replace('_', ' ')} {facts['plan'].get(name)}, not {value}"
        for name, value in plan.subject.items()
        if facts["plan"].get(name) != value
    ]
    rounding = facts["rounding"].get(plan.precision)
    if rounding is None or rounding["moved"] != plan.least_tolerance:
        differing.append(f"other {plan.precision} rounding")
    if differing:
        raise UsageError(
            f"the reference of {plan.model} was made with other settings ({'; '.join(differing)}): make it anew with "
            "bcdl parity reference"
        )


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the arrays, with their shapes, in order."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\0".encode() + array.tobytes())
    return digest.hexdigest()
