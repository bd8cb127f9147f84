"""Writing to a disk: what was written stays after a crash, and what failed leaves nothing behind."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from bcdl.errors import UsageError

_PART, _PART_END = ".bcdl-", ".part"
# What a network file system answers if it can't write a folder to the disk by itself.
_NO_FOLDERS = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EISDIR}


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """A block that writes `place`, a file or folder of results; UsageError, which names it, if it can't be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{place} can't be written ({error.strerror or error}); make room or choose another folder with --results"
        ) from error


def append_line(file: Path, line: str) -> None:
    """Add the line to the file, whole or not at all; it is on the disk when this returns. Makes the folder.

    If the last line lacks its end, since its writer died, it gets it first, so that no line runs into another.

    Raises:
        UsageError: the line can't be written; the file is then as it was.
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
    """Write the content to the end of an open file, on the disk when this returns.

    Args:
        file: descriptor, open for appending.
        content: what is written.

    Raises:
        OSError: it can't be written; the file then has the length that it had.
    """
    before = os.fstat(file).st_size
    try:
        write_whole(file, content)
    except OSError:
        os.ftruncate(file, before)
        raise


def write_whole(file: int, content: bytes) -> None:
    """Write all of the content to an open file, by its descriptor, on the disk when this returns."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)


def replace(file: Path, content: bytes) -> Path:
    """Replace the file in one step, and return it: no reader sees half of it. Makes the folder.

    Raises:
        OSError: it can't be written, and is then as it was; if the error names a file, it is this one.
    """
    part = file.with_name(new_part())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as new:  # never over a file that is there
            new.write(content)
        return part.replace(file)
    except OSError as error:
        if error.filename is None:  # of what was opened, as if the disk is full
            raise
        raise OSError(error.errno, error.strerror, str(file)) from error  # nobody knows of the part
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def new_part() -> str:
    """A name for a file that lasts for a moment; whoever is killed meanwhile leaves it."""
    return f"{_PART}{secrets.token_hex(8)}{_PART_END}"


def is_part(name: str) -> bool:
    """Whether `new_part` made the name: such a file is of a process that is at it, or was killed."""
    middle = name.removeprefix(_PART).removesuffix(_PART_END)
    return name == f"{_PART}{middle}{_PART_END}" and len(middle) == 16 and set(middle) <= set("0123456789abcdef")


def age_s(place: Path) -> float | None:
    """Seconds since a file or folder was changed, by the clock of the disk that it is on; None if that can't be judged.

    A file that is made beside it for a moment says what time the disk has. The time of day of this host plays no part,
    unless the disk is its own.
    """
    beside = place.with_name(new_part())
    try:
        changed = _changed(place)
        try:
            with beside.open("xb") as new:  # nothing is written: until it is sent, this host would give it its own time
                return os.fstat(new.fileno()).st_mtime - changed
        finally:
            beside.unlink(missing_ok=True)
    except OSError:
        return None


def _changed(place: Path) -> float:
    """When it was changed. A file is opened: then the system asks its server, and not what it remembers."""
    if place.is_dir():
        return place.stat().st_mtime
    with place.open("rb") as file:
        return os.fstat(file.fileno()).st_mtime


def ends_a_line(file: Path) -> bool:
    """Whether the file holds a whole line at its end; not if it is empty, or can't be read."""
    try:
        with file.open("rb", buffering=0) as lines:
            return os.fstat(lines.fileno()).st_size > 0 and _ends_a_line(lines.fileno())
    except OSError:
        return False


def _ends_a_line(file: int) -> bool:
    size = os.fstat(file).st_size
    if not size:
        return True
    os.lseek(file, -1, os.SEEK_END)
    return os.read(file, 1) == b"\n"


def flush(file: Path) -> None:
    """Write to the disk what a file, or a folder of a Unix system, holds."""
    handle = os.open(file, os.O_RDONLY if file.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_name(file: Path) -> None:
    """Write the name of a new file to the disk; Windows does so itself, and so do disks that can't be asked to."""
    if os.name != "posix":
        return
    try:
        flush(file.parent)
    except OSError as error:
        if error.errno not in _NO_FOLDERS:
            raise


def _flush_names(file: Path) -> None:
    """Write the name of a new file to the disk, too, and those of its folders."""
    for named in (file, file.parent, file.parent.parent):
        flush_name(named)


def leads_through_a_link(place: Path, folder: Path) -> bool:
    """Whether `place`, or a folder between it and the `folder` that it lies in, is a link."""
    between = itertools.takewhile(lambda part: part != folder, (place, *place.parents))
    return any(part.is_symlink() for part in between)
