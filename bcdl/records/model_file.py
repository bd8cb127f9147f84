"""What the file of a saved model says that it is: written by `bcdl train --save`, and read before Keras opens the file.

The statement is JSON in the comment of the .keras file, which is a zip archive. Keras reads no comment; a member of its
own would have Keras unpack the whole archive. It holds the SHA-256 of each member: it speaks for no other model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import bcdl
from bcdl.datasets.pool import CLASSES
from bcdl.errors import UsageError
from bcdl.text import legible, on_one_line, quoted

FORMAT = 1  # raise if the statement changes its meaning
# How the two outputs of a model are to be read: as one distribution, each on its own, or before their softmax.
OUTPUTS = ("probabilities", "sigmoid", "logits")
HDF5_WEIGHTS = ("model.weights.h5",)
WEIGHTS = (*HDF5_WEIGHTS, "model.weights.npz")
CONFIG = "config.json"
_KNOWN = (CONFIG, "metadata.json", *WEIGHTS)
_ASSETS = "assets/"
_PIXELS = "RGB, 0 to 255; the model scales them itself"
_MOST_GREY_BITS = 16
_MOST_CONFIG_BYTES = 64 * 2**20
# Keras stores its members as they are; one that was packed later does not shrink that much.
_MOST_EXPANSION, _FREE_BYTES = 100, 64 * 2**20
_MOST_MEMBERS = 1000  # Keras unpacks all, if there are any besides its own


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a model's two outputs become a malignant score; its images are RGB, 0 to 255, whoever scales them.

    Attributes:
        classes: what the first output speaks for, and the second.
        outputs: one of `OUTPUTS`.
    """

    classes: tuple[str, ...] = CLASSES
    outputs: str = "sigmoid"


@dataclasses.dataclass(frozen=True)
class Statement:
    """What a model of bcdl is.

    Attributes:
        model: its row in the model table.
        image_size: height and width of its images, pixels.
        preprocessing: the mode in which the model itself scales the pixels 0 to 255 of RGB images.
        run: the run that trained it.
        reading: of its outputs.
        bcdl: the version that saved it.
        grey_bits: depth by which grey images of more than 8 bits were read in training, 0 if there were none.
    """

    model: str
    image_size: int
    preprocessing: str
    run: str
    reading: Reading = dataclasses.field(default_factory=Reading)
    bcdl: str = bcdl.__version__
    grey_bits: int = 0


def seal(file: Path, statement: Statement) -> None:
    """Have the whole .keras file say what it is.

    Raises:
        OSError, zipfile.BadZipFile: the file can't be read or written, or is not whole.
    """
    with zipfile.ZipFile(file) as archive:
        members = _digests(archive)
    said = {"format": FORMAT, "pixels": _PIXELS, **dataclasses.asdict(statement), "members": members}
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = json.dumps(said).encode()


def read(file: Path) -> Statement | None:
    """What the .keras file says that it is, or None if it says nothing; nothing in it is run.

    Raises:
        UsageError: it is no whole .keras file, or what it says is not of the model in it.
    """
    shown = quoted(str(file))
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive)
            members = _digests(archive)
            said = _said(archive.comment)
    except UsageError as error:
        raise UsageError(f"{shown} {error}") from error
    except zipfile.BadZipFile as error:
        raise UsageError(f"{shown} is no whole .keras file ({error}); save the model again") from error
    except Exception as error:  # unpacking broken bytes raises all kinds of errors
        reason = on_one_line(error, with_kind=True)
        raise UsageError(f"{shown} can't be read as a .keras file ({reason})") from error
    return None if said is None else _checked(file, said, members)


def _check_members(archive: zipfile.ZipFile) -> None:
    """UsageError, without the file's name, if the members are not those of a Keras model, or claim too much room."""
    names = archive.namelist()
    if CONFIG not in names or not set(WEIGHTS) & set(names):
        raise UsageError(f"is no .keras file: a Keras model has {CONFIG} and {WEIGHTS[0]} in it")
    if len(names) > _MOST_MEMBERS:
        raise UsageError(f"is no sound .keras file: it holds {len(names)} files, more than {_MOST_MEMBERS}")
    if len(set(WEIGHTS) & set(names)) > 1:
        raise UsageError(f"is no sound .keras file: it holds both {' and '.join(WEIGHTS)}")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"is no sound .keras file: it holds {legible(doubled[0], 60)!r} several times")
    for name in names:
        if name not in _KNOWN and (not name.startswith(_ASSETS) or ".." in name or "\\" in name):
            raise UsageError(f"is no sound .keras file: Keras writes no {legible(name, 60)!r} into one")
    for info in archive.infolist():
        is_large = info.filename in WEIGHTS or "/" in info.filename
        most = _MOST_EXPANSION * info.compress_size + _FREE_BYTES if is_large else _MOST_CONFIG_BYTES
        if info.file_size > most:
            raise UsageError(f"claims {info.file_size} bytes for {info.filename}: too much for what it holds")


def _digests(archive: zipfile.ZipFile) -> dict[str, str]:
    """SHA-256 of each member by its name; zipfile.BadZipFile if one is damaged."""
    digests = {}
    for name in sorted(archive.namelist()):
        with archive.open(name) as member:
            digests[name] = hashlib.file_digest(member, "sha256").hexdigest()  # type: ignore[arg-type]
    return digests


def _said(comment: bytes) -> dict[str, Any] | None:
    """The statement in a comment, or None if that is another's."""
    try:
        said = json.loads(comment)
    except (ValueError, RecursionError):
        if b'"bcdl"' in comment:
            raise UsageError("is damaged: what it says of itself can't be read; save the model again") from None
        return None
    return said if isinstance(said, dict) and "bcdl" in said else None


def _checked(file: Path, said: dict[str, Any], members: dict[str, str]) -> Statement:
    """The statement; UsageError if it is of a newer format, or not of these members."""
    shown = quoted(str(file))
    if isinstance(said.get("format"), int) and said["format"] > FORMAT:
        version = legible(str(said["bcdl"]), 20)
        raise UsageError(f"{shown} was saved by a newer bcdl ({version}); use that, or save the model again")
    statement = _parsed(said)
    if statement is None or said.get("members") != members:
        raise UsageError(f"{shown} is damaged or was changed: it is not as bcdl saved it; save the model again")
    return statement


def _parsed(said: dict[str, Any]) -> Statement | None:
    """The statement in its fields, or None if one is not what it should be."""
    reading = said.get("reading")
    if not isinstance(reading, dict) or sorted(map(str, reading.get("classes") or ())) != sorted(CLASSES):
        return None
    texts = [said.get(name) for name in ("model", "preprocessing", "run", "bcdl")]
    size, grey_bits = said.get("image_size"), said.get("grey_bits", 0)  # what is older says nothing of grey
    if (
        not all(isinstance(text, str) for text in texts)
        or type(size) is not int
        or type(grey_bits) is not int
        or not 0 <= grey_bits <= _MOST_GREY_BITS
        or reading.get("outputs") not in OUTPUTS
    ):
        return None
    model, preprocessing, run, version = map(str, texts)
    outputs = Reading(tuple(reading["classes"]), str(reading["outputs"]))
    return Statement(model, size, preprocessing, run, outputs, version, grey_bits)
