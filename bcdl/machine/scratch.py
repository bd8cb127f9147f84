"""Files and folders that last no longer than the process that makes them.

They lie in the folder for temporary files. If that takes nothing, they lie beside the records: what has room for
records has room for them. A folder is removed when its block ends. It bears a mark of bcdl, which names its process: so
the next process knows which folders a killed one of this host has left, and removes them, and no others.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from bcdl.errors import UsageError
from bcdl.machine import processes
from bcdl.machine.processes import Process

_PREFIX = "bcdl-"
_MARK_FILE = "bcdl-scratch"
_MARK = b"A temporary folder of bcdl, which removes it when this process has ended:\n"
_MOST_BYTES = 4096  # of a mark
Made = TypeVar("Made")
_beside_records: list[Path] = []


def also_in(folder: Path) -> None:
    """Use that folder, which lies beside the records, if the one for temporary files takes nothing."""
    _beside_records[:] = [folder]


def places() -> list[Path]:
    """The folders to try, in order; the one beside the records may not exist yet."""
    with contextlib.suppress(OSError):  # there is none
        return [Path(tempfile.gettempdir()), *_beside_records]
    return list(_beside_records)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder of this process, which is removed with all that it holds when the block ends.

    Raises:
        UsageError: none can be made.
    """
    with contextlib.ExitStack() as undo:
        path = _tried(lambda place: _marked_folder(place, undo))
        yield path


@functools.cache
def of_process() -> Path:
    """One folder, as `folder` makes it, that lasts as long as this process."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(folder())


def file(write: Callable[[IO[bytes]], None]) -> IO[bytes]:
    """A file without a name that holds what `write` writes into it, at most once into each place that is tried.

    Raises:
        UsageError: no place has room for it.
    """
    return _tried(lambda place: _written(place, write))


def _tried(make: Callable[[Path], Made]) -> Made:
    """What `make` makes in the first place that takes it."""
    refused = []
    for place in places():
        try:
            return make(place)
        except OSError as error:
            refused.append(f"{place}: {error.strerror or error}")
    raise UsageError(
        f"no temporary file can be written ({'; '.join(refused) or 'the system has no folder for them'}); make room "
        "there, or set TMPDIR to another folder"
    )


def _written(place: Path, write: Callable[[IO[bytes]], None]) -> IO[bytes]:
    place.mkdir(parents=True, exist_ok=True)
    made: IO[bytes] = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 (whoever asks for it closes it)
    try:
        write(made)
        made.flush()
    except BaseException:
        with contextlib.suppress(OSError):  # what is still in its buffer finds no room either
            made.close()
        raise
    return made


def _marked_folder(place: Path, undo: contextlib.ExitStack) -> Path:
    """A new folder with its mark; OSError, and nothing is left of it, if it can't hold that."""
    place.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(place)
    with contextlib.ExitStack() as failed:
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        failed.callback(shutil.rmtree, made, ignore_errors=True)
        (made / _MARK_FILE).write_bytes(_MARK + json.dumps(dataclasses.asdict(processes.this())).encode())
        undo.push(failed.pop_all())
    return made


@functools.cache  # once a process
def _remove_left_behind(place: Path) -> None:
    """Remove the folders in the place that processes of this user left that were killed."""
    with contextlib.suppress(OSError):
        for left in place.glob(f"{_PREFIX}*"):
            process = _process_of(left)
            if process is not None and process.lives() is False:
                shutil.rmtree(left, ignore_errors=True)


def _process_of(folder: Path) -> Process | None:
    """The process that the folder's mark names; None if `folder` has not made it for this user."""
    if not _is_of_this_user(folder):
        return None
    try:
        content = (folder / _MARK_FILE).read_bytes()
        return Process(**json.loads(content.removeprefix(_MARK))) if content.startswith(_MARK) else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _is_of_this_user(folder: Path) -> bool:
    """Whether it is a folder of this user, no link, with a file of this user in the place of a mark."""
    try:
        status, mark = folder.lstat(), (folder / _MARK_FILE).lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode) or not stat.S_ISREG(mark.st_mode) or mark.st_size > _MOST_BYTES:
        return False
    return not hasattr(os, "geteuid") or {status.st_uid, mark.st_uid} == {os.geteuid()}
