"""Runs: their ids, the folders of what belongs to a run while it lasts, and the locks that say which of them live.

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
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}(-[ab])?", re.ASCII)
_PATIENCE_S = 10.0  # for those who look whether a lock is held, and hold it as they look


def new_run_id() -> str:
    """An id for a run, sorting by its start: UTC time to the second, then four random hex digits.

    A run of one side of two that are measured in turn adds `-a` or `-b`.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    """Whether `text` is an id as `new_run_id` makes them, with or without its side."""
    return _ID.fullmatch(text) is not None


def folder_of(results: Path, run: str) -> Path:
    """Where the run's logs, status and lock lie."""
    return results / RUNS / run


def claim(results: Path, run: str) -> filelock.BaseFileLock:
    """A lock that says that the run is alive; the system drops it when this process ends, however it ends."""
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
def one_at_a_time(results: Path, what: str) -> Iterator[None]:
    """Wait until no other process is in this block for the same `what` and results folder."""
    import filelock

    folder = results / LOCAL
    lock = filelock.FileLock(folder / f"{what}.lock")
    with disk.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock(results: Path, run: str) -> filelock.BaseFileLock:
    import filelock  # here, since workers, which need no locks, read and write results, too

    folder = folder_of(results, run)
    folder.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder / "lock")
