"""Records on disk: `records/<machine>/<run>.jsonl` under a results folder, one JSON object a line.

Append-only, and one new file a run, so that two runs never conflict, on a disk or in git. What belongs to a run while
it lasts, its logs, its status and its lock, lies under `local/runs/<run>/`, outside what is committed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import filelock

from bcdl.errors import UsageError
from bcdl.records.record import Record, RecordError

RECORDS = "records"
RUNS = Path("local") / "runs"
# What a run that died left of a line goes beside its records, under a name that no reader takes for records.
TORN = ".torn"
_LEAST_ROOM_BYTES = 64 * 2**10  # the records of a few small cells
_PATIENCE_S = 10.0  # for those who look whether a lock is held, and hold it as they look


def new_run_id() -> str:
    """An id for a run, sorting by its start: UTC time to the second, then four random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def check_writable(results: Path) -> None:
    """UsageError where no record could be written under `results`; makes the folder."""
    probe = results / RECORDS / f".probe-{os.getpid()}"
    with writing(results):
        probe.parent.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb", buffering=0) as file:
                _write_whole(file.fileno(), bytes(_LEAST_ROOM_BYTES))
        finally:
            probe.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(what: Path) -> Iterator[None]:
    """In this block `what`, a file or folder of results, is written; UsageError, naming it, where that fails."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{what} can't be written ({error.strerror or error}); make room or choose another folder with --results"
        ) from error


def claim(results: Path, run: str) -> filelock.BaseFileLock:
    """A lock that says that the run is alive; the system drops it when this process ends, however it ends."""
    with writing(results):
        lock = _lock(results, run)
        lock.acquire(timeout=_PATIENCE_S)
    return lock


def is_live(results: Path, run: str) -> bool:
    """Whether a process holds the run's lock."""
    if not (results / RUNS / run).is_dir():
        return False
    with writing(results):
        lock = _lock(results, run)
        try:
            with lock.acquire(timeout=0):
                return False
        except filelock.Timeout:
            return True


@contextlib.contextmanager
def one_at_a_time(results: Path, what: str) -> Iterator[None]:
    """Wait until no other process is in this block for the same `what` and results folder."""
    folder = results / RUNS.parent
    lock = filelock.FileLock(folder / f"{what}.lock")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def append(results: Path, machine: str, record: Record) -> Path:
    """Add the record to its run's file, on the disk when this returns; the file's path."""
    file = file_of(results, machine, record.run)
    append_line(file, record.to_json())
    return file


def file_of(results: Path, machine: str, run: str) -> Path:
    """The file of a run's records."""
    return results / RECORDS / machine / f"{run}.jsonl"


def append_line(file: Path, line: str) -> None:
    """Add the line to the file, whole or not at all, on the disk when this returns; makes the folder.

    UsageError where it can't; the file is then as it was.
    """
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not file.exists()
        with file.open("ab", buffering=0) as lines:
            _append_whole(lines.fileno(), line.encode() + b"\n")
        if is_new:
            _flush_names(file)


def replace(file: Path, content: bytes) -> Path:
    """Replace the file in one step, so that no reader sees half of it and a full disk leaves it as it was.

    Makes the folder; returns the file. Raises OSError where it can't.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_bytes(content)
        return part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _append_whole(file: int, line: bytes) -> None:
    """Write and flush the line; where that fails midway, take back what was written of it."""
    before = os.fstat(file).st_size
    try:
        _write_whole(file, line)
    except OSError:
        os.ftruncate(file, before)
        raise


def _write_whole(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)


def _flush_names(file: Path) -> None:
    """Have the name of a new file on the disk, too, and those of its folders; Windows does so itself."""
    if os.name == "posix":
        for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def set_aside_torn(results: Path) -> list[str]:
    """Move the torn last line of each file whose run is over into a file beside it; a line of text for each."""
    told = []
    with one_at_a_time(results, "torn"), writing(results):
        for file in _files(results):
            # In this order: what a dead run left stays as it is.
            if not is_live(results, file.stem) and (torn := _torn_bytes(file)):
                with file.with_suffix(TORN).open("ab", buffering=0) as aside:
                    _append_whole(aside.fileno(), torn + b"\n")
                os.truncate(file, file.stat().st_size - len(torn))
                told.append(f"{file.name}: a torn last line of {len(torn)} bytes was set aside in {file.stem}{TORN}")
    return told


def _torn_bytes(file: Path) -> bytes:
    """What follows the last line's end: something only where a writer died midway."""
    try:
        return file.read_bytes().rpartition(b"\n")[2]
    except OSError:  # `read_all` tells of it
        return b""


def read_all(results: Path) -> tuple[list[tuple[str, Record]], list[str]]:
    """Every record with its machine, oldest run first, and a line for each thing that is not a record."""
    with _collector_paused():
        return _read_all(results)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """What is read from JSON has no cycles, and to look for some in all of it, again and again, doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_all(results: Path) -> tuple[list[tuple[str, Record]], list[str]]:
    records: list[tuple[str, Record]] = []
    problems: list[str] = []
    for file in _files(results):
        try:
            *lines, torn = file.read_bytes().split(b"\n")
        except OSError as error:
            problems.append(f"{file.parent.name}/{file.name}: can't be read ({error.strerror})")
            continue
        for number, line in enumerate(lines, start=1):
            try:
                records.append((file.parent.name, Record.from_json(line.decode("utf-8", errors="replace"))))
            except RecordError as error:
                problems.append(f"{file.parent.name}/{file.name}, line {number}: {error}")
        if torn:
            problems.append(
                f"{file.parent.name}/{file.name}, line {len(lines) + 1}: a torn last line of {len(torn)} bytes: its "
                "writer was ended midway, or is at it; the next run sets it aside"
            )
    return records, problems


def _files(results: Path) -> list[Path]:
    """Every run's file, oldest run first."""
    return sorted((results / RECORDS).glob("*/*.jsonl"), key=lambda path: (path.stem, path))


def _lock(results: Path, run: str) -> filelock.BaseFileLock:
    folder = results / RUNS / run
    folder.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder / "lock")
