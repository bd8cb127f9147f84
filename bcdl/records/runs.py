"""Runs: their ids, the folders of what belongs to a run while it lasts, and the locks that say which are alive.

Logs, status and lock of a run lie under `local/runs/<run>/`, outside what is committed.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bcdl.records import disk

if TYPE_CHECKING:
    import filelock

LOCAL = "local"
RUNS = Path(LOCAL) / "runs"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}(-[a-z])?", re.ASCII)
_PATIENCE_S = 10.0  # seconds; whoever asks whether a lock is held, holds it for a moment


def new_run_id() -> str:
    """An id for a run, which sorts by its start: UTC time to the second, then four random hex digits.

    If sides are measured in turn, the run of each adds a hyphen and its letter.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    """Whether `text` is an id as `new_run_id` makes them, with or without its side."""
    return _ID.fullmatch(text) is not None


def folder_of(results: Path, run: str) -> Path:
    """The folder of the run's logs, status and lock."""
    return results / RUNS / run


def claim(results: Path, run: str) -> filelock.BaseFileLock:
    """Take the lock that says that the run is alive; the system drops it when this process ends, however it ends."""
    with disk.writing(results):
        lock = _lock(results, run)
        lock.acquire(timeout=_PATIENCE_S)
    return lock


def is_live(results: Path, run: str) -> bool:
    """Whether a process holds the run's lock."""
    if not folder_of(results, run).is_dir():
        return False
    import filelock

    with disk.writing(results):
        lock = _lock(results, run)
        try:
            with lock.acquire(timeout=0):
                return False
        except filelock.Timeout:
            return True


@contextlib.contextmanager
def one_at_a_time(results: Path, name: str) -> Iterator[None]:
    """A block that one process at a time is in, of those with the same `name` and results folder; others wait."""
    import filelock

    folder = results / LOCAL
    lock = filelock.FileLock(folder / f"{name}.lock")
    with disk.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock(results: Path, run: str) -> filelock.BaseFileLock:
    import filelock  # here: workers import this module, too, and need no locks

    folder = folder_of(results, run)
    folder.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder / "lock")
