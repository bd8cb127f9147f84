"""Where the files of a results folder lie, and its records: appended by runs, all read back by reports.

What people and reports rely on: `records/`, `parity/` and `experiments/` are logs (`bcdl.records.log`), `README.md`,
`tables/`, `plots/` and `cards/` are made from them, and `local/` is committed nowhere.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.records import disk, log, runs
from bcdl.records.disk import replace as replace
from bcdl.records.log import RECORDS as RECORDS
from bcdl.records.log import Problem
from bcdl.records.record import Record
from bcdl.records.schema import SCHEMA

PAGE, MANIFEST = "README.md", "manifest.json"
TABLES, PLOTS, CARDS = "tables", "plots", "cards"
# How the page begins, by which it is known as ours.
PAGE_START = (
    "# Results\n\nThis page, `tables/` and `plots/` are generated from `records/` by `python -m bcdl.report`; "
    "edit nothing here by hand.\n"
)
# What a manifest says of itself, by which it is known as ours.
WRITER_KEY, WRITER = "written by", "bcdl report"
_ADVICE = "move it away or choose another folder with --results"
_LEAST_ROOM_BYTES = 64 * 2**10  # the records of a few small cells


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def check_writable(results: Path) -> None:
    """UsageError if a run and its report could not write their files under `results`; makes the folder."""
    check_folder(results)
    probe = results / RECORDS / f".probe-{os.getpid()}"
    with disk.writing(results):
        probe.parent.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb", buffering=0) as file:
                disk.write_whole(file.fileno(), bytes(_LEAST_ROOM_BYTES))
        finally:
            probe.unlink(missing_ok=True)


def check_folder(results: Path) -> None:
    """UsageError if something under `results` is in the way of our files: another's page, a link, a file for a folder.

    The results folder itself may be a link.
    """
    with disk.writing(results):
        for name in (PAGE, MANIFEST, TABLES, PLOTS, CARDS, *log.LOGS, runs.LOCAL):
            if (results / name).is_symlink():
                raise UsageError(f"{results / name} is a link, and would be written through; {_ADVICE}")
        for name in (TABLES, PLOTS, CARDS, *log.LOGS, runs.LOCAL):
            if (results / name).exists() and not (results / name).is_dir():
                raise UsageError(f"{results / name} is no folder, and one is needed there; {_ADVICE}")
        for name, is_ours in ((PAGE, is_page), (MANIFEST, _is_manifest)):
            file = results / name
            if file.exists() and not (file.is_file() and is_ours(file.read_bytes())):
                raise UsageError(f"{file} is not of bcdl, and the report would overwrite it; {_ADVICE}")


def is_page(content: bytes) -> bool:
    """Whether a page is ours: it begins as every page of ours does, on whatever system its lines were ended."""
    return content.replace(b"\r\n", b"\n").startswith(PAGE_START.encode())


def _is_manifest(content: bytes) -> bool:
    """Whether a manifest is ours, even if a merge with conflicts has made it no JSON."""
    return f'"{WRITER_KEY}": "{WRITER}"'.encode() in content


def append(results: Path, machine: str, record: Record) -> Path:
    """Add the record to its run's file, on the disk when this returns; the file's path."""
    return log.append(results, RECORDS, machine, record.run, record.to_json())


def file_of(results: Path, machine: str, run: str) -> Path:
    """The file of a run's records."""
    return log.file_of(results, RECORDS, machine, run)


def read_all(results: Path) -> tuple[list[tuple[str, Record]], list[Problem]]:
    """Every record with its machine, oldest run first, and each thing that is not a record."""
    return log.read(results / RECORDS, Record.from_json, SCHEMA)
