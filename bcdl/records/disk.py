"""Writing to a disk so that what was written stays, and what failed leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from bcdl.errors import UsageError

_PART, _PART_END = ".bcdl-", ".part"


@contextlib.contextmanager
def writing(what: Path) -> Iterator[None]:
    """In this block `what`, a file or folder of results, is written; UsageError, naming it, if that fails."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{what} can't be written ({error.strerror or error}); make room or choose another folder with --results"
        ) from error


def append_line(file: Path, line: str) -> None:
    """Add the line to the file, whole or not at all, on the disk when this returns; makes the folder.

    A last line that lacks its end, as a dead writer may leave one, gets it first, so that no line grows into another.
    UsageError if the line can't be written; the file is then as it was.
    """
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not file.exists()
        with file.open("a+b", buffering=0) as lines:
            end = b"" if _ends_a_line(lines.fileno()) else b"\n"
            append_whole(lines.fileno(), end + line.encode() + b"\n")
        if is_new:
            _flush_names(file)


def append_whole(file: int, content: bytes) -> None:
    """Write the content to the end of an open file and flush it; if that fails midway, take back what was written."""
    before = os.fstat(file).st_size
    try:
        write_whole(file, content)
    except OSError:
        os.ftruncate(file, before)
        raise


def write_whole(file: int, content: bytes) -> None:
    """Write all of the content to an open file, on the disk when this returns."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)


def replace(file: Path, content: bytes) -> Path:
    """Replace the file in one step, so that no reader sees half of it and a full disk leaves it as it was.

    Makes the folder; returns the file. Raises OSError if it can't be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{_PART}{secrets.token_hex(8)}{_PART_END}")
    try:
        with part.open("xb") as new:  # never over a file that is there
            new.write(content)
        return part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def is_part(name: str) -> bool:
    """Whether a file of that name is the unfinished work of `replace`, left by a process that was killed at it."""
    middle = name.removeprefix(_PART).removesuffix(_PART_END)
    return name == f"{_PART}{middle}{_PART_END}" and len(middle) == 16 and set(middle) <= set("0123456789abcdef")


def _ends_a_line(file: int) -> bool:
    size = os.fstat(file).st_size
    if not size:
        return True
    os.lseek(file, -1, os.SEEK_END)
    return os.read(file, 1) == b"\n"


def _flush_names(file: Path) -> None:
    """Have the name of a new file on the disk, too, and those of its folders; Windows does so itself."""
    if os.name == "posix":
        for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
