"""Files and folders that last no longer than the process that makes them.

They lie in the folder for temporary files. If that takes nothing, they lie beside the records: what has room for
records has room for them. A folder is removed when its block ends. It bears a mark of bcdl and a lock, which the system
drops when its process ends, however it ends: so the next process knows which folders a killed one has left, and removes
them, and no others.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from bcdl.errors import UsageError

if TYPE_CHECKING:
    import filelock

_PREFIX = "bcdl-"
_MARK_FILE, _LOCK_FILE = "bcdl-scratch", "lock"
_MARK = b"A temporary folder of bcdl, which removes it as soon as nobody holds the lock beside this file.\n"
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
    """A new folder with lock and mark; OSError, and nothing is left of it, if it can't hold them."""
    place.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(place)
    with contextlib.ExitStack() as failed:
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        failed.callback(shutil.rmtree, made, ignore_errors=True)
        lock = _lock(made)
        if lock is None:  # nobody could tell whether its process lives, so that it bears no mark either
            (made / "probe").write_bytes(_MARK)
        else:
            failed.callback(lock.release)
            (made / _MARK_FILE).write_bytes(_MARK)  # last: what is marked is locked
        undo.push(failed.pop_all())
    return made


def _lock(folder: Path) -> filelock.BaseFileLock | None:
    """The lock in the folder, held; None if another process holds it, or if no lock can be held there."""
    import filelock  # here: workers import this module, too, and need no locks

    lock = filelock.FileLock(folder / _LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except (OSError, NotImplementedError):  # a timeout is an OSError, too
        return None
    return lock


@functools.cache  # once a process
def _remove_left_behind(place: Path) -> None:
    """Remove the folders in the place that processes of this user left that were killed."""
    with contextlib.suppress(OSError):
        for left in [entry for entry in place.glob(f"{_PREFIX}*") if _is_ours(entry)]:
            if (lock := _lock(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                lock.release()


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder that `folder` has made for this user."""
    mark = folder / _MARK_FILE
    try:
        statuses = [folder.lstat(), mark.lstat()]
        if [stat.S_IFMT(status.st_mode) for status in statuses] != [stat.S_IFDIR, stat.S_IFREG]:
            return False
        if hasattr(os, "geteuid") and {status.st_uid for status in statuses} != {os.geteuid()}:
            return False
        return statuses[1].st_size == len(_MARK) and mark.read_bytes() == _MARK
    except OSError:
        return False
