"""Records on disk: `records/<machine>/<run>.jsonl` under a results folder, one JSON object a line.

Append-only, and one new file a run, so that two runs never conflict in git.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.record import Record, RecordError

RECORDS = "records"


def new_run_id() -> str:
    """An id for a run, sorting by its start: UTC time to the second, then four random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def check_writable(results: Path) -> None:
    """UsageError where no record could be written under `results`; makes the folder."""
    probe = results / RECORDS / f".probe-{os.getpid()}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"the results folder {results} can't be written ({error.strerror}); choose another with --results"
        ) from error


def append(results: Path, machine: str, record: Record) -> Path:
    """Add the record to its run's file, on the disk when this returns; the file's path."""
    file = file_of(results, machine, record.run)
    append_line(file, record.to_json())
    return file


def file_of(results: Path, machine: str, run: str) -> Path:
    """The file of a run's records."""
    return results / RECORDS / machine / f"{run}.jsonl"


def append_line(file: Path, line: str) -> None:
    """Add the line to the file, on the disk when this returns; makes the folder. UsageError where it can't."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise UsageError(
            f"the record could not be written to {file} ({error.strerror}); free the disk or use --results"
        ) from error


def read_all(results: Path) -> tuple[list[tuple[str, Record]], list[str]]:
    """Every record with its machine, oldest run first, and a line for each thing that is not a record."""
    records: list[tuple[str, Record]] = []
    problems: list[str] = []
    for file in sorted((results / RECORDS).glob("*/*.jsonl"), key=lambda path: (path.stem, path)):
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                records.append((file.parent.name, Record.from_json(line)))
            except RecordError as error:
                problems.append(f"{file.parent.name}/{file.name}, line {number}: {error}")
    return records, problems
