"""Runs: their ids, the folders of what belongs to a run while it lasts, and who is at work on a results folder.

Logs, status and claim of a run lie under `local/runs/<run>/`, outside what is committed. The claim stays after the run,
and says on which host it ran: what a dead run has left is mended or removed by its own host alone, or after a day.

A run that a cluster's nodes share has a task for each cell, which is a run of its own: its id is that of the run with a
number, and its folder lies in that of the run.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.records import claims, disk
from bcdl.records.claims import BusyError, Claim, Holder

LOCAL = "local"
RUNS = Path(LOCAL) / "runs"
OWNER_FILE = "owner.json"
TASKS = "tasks"  # in the folder of a run that a cluster's nodes share
_START = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}(?:[0-9a-f]{8})?"
_ID_PATTERN = rf"{_START}(?:-(?:[a-z]|[0-9]{{1,7}}))?"
_ID = re.compile(_ID_PATTERN, re.ASCII)
_ID_IN_A_NAME = re.compile(rf"(?<![0-9A-Za-z])({_ID_PATTERN})(?![0-9a-z])", re.ASCII)
_TASK_ID = re.compile(rf"({_START})-([0-9]{{1,7}})", re.ASCII)
_PAUSE_S = 0.1
# How often a process looks, at this pause, whether another one that is alive has given a lock back: for 30 s.
_MOST_LOOKS = 300
_HELD: list[Claim] = []  # those of runs that last as long as this process


def new_run_id() -> str:
    """An id for a run, which sorts by its start: UTC time to the second, then twelve random hex digits.

    Hosts may start runs in the same second, and can't ask each other. If several sides are measured in turn, the run of
    each adds a letter to it: `-a`, `-b` and so on; `task_id` adds a number.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(6)}"


def task_id(run: str, index: int) -> str:
    """The id of a task of a run that a cluster's nodes share, which is a run of its own."""
    return f"{run}-{index}"


def is_run_id(text: str) -> bool:
    """Whether `text` is an id as `new_run_id` makes them or did, of four digits, with or without its side or task."""
    return _ID.fullmatch(text) is not None


def id_in(name: str) -> str:
    """The run's id that the name of a file holds, as copies that sync tools make do; empty if it holds none."""
    match = _ID_IN_A_NAME.search(name)
    return match[1] if match else ""


def folder_of(results: Path, run: str) -> Path:
    """The folder of the run's logs, status and claim."""
    if task := _TASK_ID.fullmatch(run):
        return results / RUNS / task[1] / TASKS / task[2]
    return results / RUNS / run


def begin(results: Path) -> str:
    """The id of a new run, which is claimed as long as this process lives."""
    run = new_run_id()
    _HELD.append(claim(results, run))
    return run


def claim(results: Path, run: str) -> Claim:
    """Say that the run is alive; this lasts as long as the claim, or this process.

    Raises:
        UsageError: there is such a run already, or the folder can't be written.
    """
    taken = UsageError(f"there is a run {run} in {results} already, and two must not share its files; start again")
    if any(results.glob(f"*/*/{run}.jsonl")):
        raise taken
    with disk.writing(results):
        return _new_claim(results, run, taken)


def adopt(results: Path, run: str) -> Claim:
    """Claim a run that is over, to add lines of it that come from elsewhere; as `claim`, if it is under way."""
    file = _claim_file(results, run)
    under_way = UsageError(f"run {run} is under way in {results}; do this again when it has ended")
    with disk.writing(results):
        if (last := claims.holder(file)) is not None:
            if last.alive:
                raise under_way
            claims.take_away(file, last)
        return _new_claim(results, run, under_way)


def check_free(results: Path, run: str) -> None:
    """Raise UsageError if another process that lives has the run, so that both would write its files."""
    file = _claim_file(results, run)
    if not file.exists() or claims.is_mine(file):
        return
    process = claims.holder(file)
    # A claim without a token is damaged, and may be this process's own.
    if process is not None and process.alive and process.token:
        raise UsageError(f"run {run} of {results} is that of another process, which is alive; start a run of its own")


def holder(results: Path, run: str) -> Holder | None:
    """Who runs it, or did; None if nothing in the folder says that."""
    return claims.holder(_claim_file(results, run))


def is_live(results: Path, run: str) -> bool:
    """Whether the run is known to be alive, on this host or another."""
    process = holder(results, run)
    return process is not None and process.alive


def is_forgotten(results: Path, run: str) -> bool:
    """Whether what the run has left may be removed: it ended on this host, or was silent for a day."""
    if (process := holder(results, run)) is not None:
        return process.is_forgotten
    return (disk.age_s(folder_of(results, run)) or 0.0) >= claims.FORGOTTEN_S


@contextlib.contextmanager
def one_at_a_time(results: Path, name: str) -> Iterator[Claim]:
    """A block that one process at a time is in, of those with the same `name` and results folder, on all hosts.

    It gets the claim, which says whether it is held still: another host may have taken a process for dead that was
    merely stopped for minutes. On a synced disk, hosts can't exclude each other.

    Raises:
        BusyError: another process that lives is in such a block, and has not left it for half a minute.
        UsageError: the folder can't be written.
    """
    file = results / LOCAL / f"{name}.lock"
    with disk.writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(file)
    with lock:
        yield lock


def _locked(file: Path) -> Claim:
    """The claim of a lock, as soon as no other process that lives has it."""
    for _ in range(_MOST_LOOKS):
        with contextlib.suppress(FileExistsError):
            return Claim(file)
        other = claims.holder(file)
        if other is None:
            continue
        if other.alive:
            time.sleep(_PAUSE_S)
        else:
            claims.take_away(file, other)
    where = "this" if other and other.here else "another"
    raise BusyError(f"a process of {where} host is at work there and holds {file}")


def _new_claim(results: Path, run: str, refusal: UsageError) -> Claim:
    """A claim of the run; the refusal is raised if it has one."""
    folder_of(results, run).mkdir(parents=True, exist_ok=True)
    try:
        return Claim(_claim_file(results, run), stays=True)
    except FileExistsError:
        raise refusal from None


def _claim_file(results: Path, run: str) -> Path:
    return folder_of(results, run) / OWNER_FILE
