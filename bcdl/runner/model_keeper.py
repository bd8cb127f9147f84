"""Keeps a trained model: its place is tried before the training, and it is saved before anything else is measured."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Protocol

from bcdl import interrupts
from bcdl.errors import UsageError
from bcdl.machine.hardware import MIB
from bcdl.records import disk, model_file, runs
from bcdl.records.model_file import Statement
from bcdl.settings import models
from bcdl.settings.cell import Cell
from bcdl.text import on_one_line

SUFFIX = ".keras"
MODELS = "models"
_LONGEST_REASON = 200  # letters
_BYTES = 4  # of a weight
# Values of an optimizer's state for each weight, which Keras saves, too.
_SLOTS = {"adam": 2, "sgd": 1}


class Model(Protocol):
    """A trained model, as Keras has it."""

    def save(self, file: Path) -> None: ...


def check_place(file: Path) -> None:
    """UsageError if a model could not be saved there: that is to be known before it is trained."""
    named = f"--save {str(file)!r}"
    if file.suffix != SUFFIX:
        raise UsageError(f"{named} does not end in NAME{SUFFIX}, the one format Keras saves whole models in")
    try:
        place = file.resolve()
        if place.is_dir():
            raise UsageError(f"{named} is a folder; name a file")
        if not place.parent.is_dir():
            raise UsageError(f"{named}: there is no folder {str(file.parent)!r}; make it first")
        if place.exists() and not place.is_file():
            raise UsageError(f"{named} is no ordinary file; name another")
        if place.exists() and not os.access(place, os.W_OK):
            raise UsageError(f"{named} must not be written to; name another file, or see to its permissions")
        _probe(place)
    except (OSError, ValueError, RuntimeError) as error:  # a name with a zero byte, a loop of links
        raise UsageError(f"{named}: no file can be written there ({_reason(error)}); choose another") from error


def room_notes(file: Path, cell: Cell) -> list[str]:
    """A notice if the disk has less room than the model's file may need."""
    needed = models.find(cell.model).parameters * _BYTES * (1 + _SLOTS.get(cell.optimizer, 2))
    free = shutil.disk_usage(file.resolve().parent).free
    if free >= needed:
        return []
    room = f"{free // MIB} MiB are free in its folder, and a {cell.model} may take {needed // MIB} MiB"
    return [f"note: the model may find no room: {room}"]


@dataclasses.dataclass
class ModelKeeper:
    """Saves the model of a run where it was asked for, or else where it can be.

    Attributes:
        file: where the model was asked for.
        results: the results folder, the next place.
        statement: what the model is.
        kept: where the model is; None as long as it is nowhere.
        reason: why it is not in `file`, if it is not.
    """

    file: Path
    results: Path
    statement: Statement
    kept: Path | None = None
    reason: str = ""

    def keep(self, model: Model) -> None:
        """Save the model, in `file` or elsewhere; an error is kept in `reason`. A signal takes effect afterwards."""
        elsewhere = f"{self.statement.run}{SUFFIX}"
        places = [self.file, self.results / runs.LOCAL / MODELS / elsewhere]
        with contextlib.suppress(OSError):  # the system has no such folder
            places.append(Path(tempfile.gettempdir()) / elsewhere)
        with interrupts.held():
            for place in places:
                try:
                    if place != self.file:
                        place.parent.mkdir(parents=True, exist_ok=True)
                    save(model, place, self.statement)
                except Exception as error:  # whatever it is, the model is not to be lost by it
                    self.reason = self.reason or _reason(error)
                else:
                    self.kept = place
                    return

    def trouble(self) -> str:
        """What a person is to know if the model is not where it was asked for; else nothing."""
        if not self.reason:
            return "" if self.kept else f"no model is saved as {str(self.file)!r}"
        where = f"it is kept as {str(self.kept)!r}" if self.kept else "nor anywhere else: make room and train again"
        return f"the model could not be saved as {str(self.file)!r} ({self.reason}); {where}"


def save(model: Model, file: Path, statement: Statement) -> None:
    """Write the model to `file`, which then says what it is, whole or not at all; it is on the disk when this returns.

    Raises whatever writing raises; an earlier file is then as it was.
    """
    place = file.resolve()
    part = _part(place)
    try:
        model.save(part)
        model_file.seal(part, statement)
        disk.flush(part)
        part.replace(place)
        disk.flush_name(place)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _probe(place: Path) -> None:
    """Write and remove a file as the model's will be, and ask for its own name; OSError if that fails."""
    with contextlib.suppress(FileNotFoundError):
        os.lstat(place)  # a name that is too long
    part = _part(place)
    try:
        with part.open("xb", buffering=0) as probe:
            probe.write(b"PK")
            os.fsync(probe.fileno())
    finally:
        part.unlink(missing_ok=True)


def _part(place: Path) -> Path:
    """A file beside the place, of a name that no other has; Keras takes no other suffix."""
    return place.with_name(f".bcdl-{secrets.token_hex(8)}{SUFFIX}")


def _reason(error: Exception) -> str:
    """The error on one line, without the name of a file: the message around it has that."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return on_one_line(strerror or error, _LONGEST_REASON)
