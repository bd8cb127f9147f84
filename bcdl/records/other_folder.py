"""The logs of another results folder, read to be added to one's own. Nothing there is changed, and no link is followed.

What a folder holds may come from anybody: only regular files in the places of logs are read, whatever else lies there.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.records import archive, disk, log, runs
from bcdl.records.archive import Contents
from bcdl.text import safe_name

_MOST_LOG_BYTES = 256 * 2**10  # of what a worker printed
_LOG_END = ".log"


def read(folder: Path) -> Contents:
    """The logs of a results folder, as they are now.

    Raises:
        UsageError: it is no folder, holds no log of bcdl, more than is read at once, or something that can't be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name a results folder")
    contents, size = Contents(name=str(folder)), 0
    try:
        for file in _files(folder, contents.ignored):
            size += file.stat().st_size
            _check_size(size)
            if (place := archive.place_of(*file.parts[-3:])) is None:
                contents.ignored.append(file.relative_to(folder).as_posix())
            elif content := file.read_bytes():
                contents.logs[place] = content
    except OSError as error:
        where = error.filename or folder
        raise UsageError(f"{where} can't be read ({error.strerror or error}); see to its permissions") from error
    if not contents.logs:
        raise UsageError(
            f"{folder} holds no records, findings or experiments of bcdl; name a results folder, in which "
            f"{log.RECORDS}/ lies"
        )
    return contents


def _check_size(size: int) -> None:
    if size > archive.MOST_BYTES:
        raise UsageError(
            f"the logs of one folder have more than {archive.MOST_BYTES >> 20} MiB, the most that is read at once; "
            "move some of its runs' files to a results folder of their own, and name both"
        )


def _files(folder: Path, ignored: list[str]) -> Iterator[Path]:
    """The regular files at the depth of logs; what else lies there is added to those ignored, by its path."""
    for name in log.LOGS:
        for machine in _entries(folder / name, ignored, folder):
            for file in _entries(machine, ignored, folder):
                if stat.S_ISREG(file.lstat().st_mode):
                    yield file
                else:
                    ignored.append(file.relative_to(folder).as_posix())


def _entries(place: Path, ignored: list[str], folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing if it is missing, a link or none, and then it is ignored."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        ignored.append(place.relative_to(folder).as_posix())
        return []
    return sorted(place.iterdir()) if place.exists() else []


def printed(folder: Path, run: str) -> dict[str, bytes | None]:
    """What each worker of the run printed, by the name of its file; None if that is long, a link, or can't be read."""
    place = runs.folder_of(folder, run)
    if not place.is_dir() or disk.leads_through_a_link(place, folder):
        return {}
    files = sorted(file for file in place.glob(f"*{_LOG_END}") if safe_name(file.name) == file.name)
    return {file.name: _content(file) for file in files}


def _content(file: Path) -> bytes | None:
    """What a short file holds; None if it is another one."""
    try:
        status = file.lstat()
        is_short = stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_LOG_BYTES
        return file.read_bytes() if is_short else None
    except OSError:
        return None
