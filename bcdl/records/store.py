"""The results folder: the names of its files, and its records, which runs append and reports read.

People and reports rely on this layout: `records/`, `parity/` and `experiments/` are logs (`bcdl.records.log`),
`README.md`, `pages/`, `tables/`, `plots/` and `cards/` are made from them, and `local/` is never committed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.records import disk, git_ignore, log, runs
from bcdl.records.log import RECORDS, Problem
from bcdl.records.record import Record
from bcdl.records.schema import SCHEMA

PAGE, MANIFEST = "README.md", "manifest.json"
PAGES, TABLES, PLOTS, CARDS = "pages", "tables", "plots", "cards"
# How our page begins; a page that begins otherwise is never overwritten.
PAGE_START = (
    "# Results\n\nThis page, `tables/` and `plots/` are generated from `records/` by `python -m bcdl.report`; "
    "edit nothing here by hand.\n"
)
# The mark of our manifest; one without it is never overwritten.
WRITER_KEY, WRITER = "written by", "bcdl report"
_ADVICE = "move it away or choose another folder with --results"
_LEAST_ROOM_BYTES = 64 * 2**10  # what the records of a few small cells take


def check_writable(results: Path) -> None:
    """Raise UsageError if a run and its report could not write their files under `results`; makes the folder."""
    check_folder(results)
    probe = results / RECORDS / disk.new_part()
    with disk.writing(results):
        probe.parent.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb", buffering=0) as file:
                disk.write_whole(file.fileno(), bytes(_LEAST_ROOM_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    git_ignore.write(results)


def check_folder(results: Path) -> None:
    """Raise UsageError if something under `results` is in the way of our files.

    That is a page or manifest that bcdl did not write, a link, or a file in place of a folder. The results folder
    itself may be a link.
    """
    with disk.writing(results):
        for name in (PAGE, MANIFEST, PAGES, TABLES, PLOTS, CARDS, *log.LOGS, runs.LOCAL):
            if (results / name).is_symlink():
                raise UsageError(f"{results / name} is a link, and would be written through; {_ADVICE}")
        for name in (PAGES, TABLES, PLOTS, CARDS, *log.LOGS, runs.LOCAL):
            if (results / name).exists() and not (results / name).is_dir():
                raise UsageError(f"{results / name} is no folder, and one is needed there; {_ADVICE}")
        for name, is_ours in ((PAGE, is_page), (MANIFEST, _is_manifest)):
            file = results / name
            if file.exists() and not (file.is_file() and is_ours(file.read_bytes())):
                raise UsageError(f"{file} is not of bcdl, and the report would overwrite it; {_ADVICE}")


def is_page(content: bytes) -> bool:
    """Whether bcdl wrote the page: it begins as every page of ours does, with the line ends of whatever system."""
    return content.replace(b"\r\n", b"\n").startswith(PAGE_START.encode())


def _is_manifest(content: bytes) -> bool:
    """Whether bcdl wrote the manifest; it need not be JSON, since a merge may have left marks of conflicts in it."""
    return f'"{WRITER_KEY}": "{WRITER}"'.encode() in content


def append(results: Path, machine: str, record: Record, seen: int | None = None) -> Path:
    """Add the record, counted, to its run's file, whose path it returns; it is then on the disk.

    `seen` is the highest count that its writer saw in the log; if not given, it looks now.
    """

    def line_of(count: int) -> str:
        return dataclasses.replace(record, sequence=count).to_json()

    return log.append(results, RECORDS, machine, record.run, line_of, seen)


def highest_count(results: Path) -> int:
    """The highest count of a record; 0 if none is counted."""
    return log.highest_count(results / RECORDS)


def files_of_tasks(results: Path, run: str) -> dict[int, list[Path]]:
    """The files of records that tasks of a run which a cluster's nodes share have left, by the task's number.

    A task has several if nodes of several kinds were at it, one after the other.
    """
    files: dict[int, list[Path]] = {}
    for file in (results / RECORDS).glob(f"*/{run}-*.jsonl"):
        number = file.stem.removeprefix(f"{run}-")
        if number.isascii() and number.isdecimal():
            files.setdefault(int(number), []).append(file)
    return files


def read_file(file: Path) -> list[Record]:
    """The records that a file holds, each that can be read."""
    return [line.entry for line in log.read_file(file, Record.from_json, SCHEMA)[0]]


def file_of(results: Path, machine: str, run: str) -> Path:
    """The path of the file of a run's records."""
    return log.file_of(results, RECORDS, machine, run)


def read_all(results: Path) -> tuple[list[tuple[str, Record]], list[Problem]]:
    """Every record with its machine, oldest first, and what in the log could not be read."""
    return log.read(results / RECORDS, Record.from_json, SCHEMA)
