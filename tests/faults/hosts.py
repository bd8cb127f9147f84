"""Hosts that share a results folder: processes with another host name, another start of the host and another clock.

Each is forked from a process that has imported everything already.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from bcdl.machine import processes
from bcdl.records import claims, log, moment, runs, store
from bcdl.report import artefacts
from tests.factory import record

MACHINE = "a-machine"


def start(name: str, ahead_s: float, act: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """A process of the host `name`, whose clock is ahead of this one's by so many seconds, and which calls `act`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_act, args=(name, ahead_s, act, arguments))
    process.start()
    return process


def _act(name: str, ahead_s: float, act: Callable[..., None], arguments: tuple[object, ...]) -> None:
    processes.host = lambda: f"host {name}"  # type: ignore[assignment]
    processes.boot = lambda: f"start of {name}"  # type: ignore[assignment]
    set_clock(ahead_s)
    act(*arguments)


def set_clock(ahead_s: float) -> None:
    """Put the time of day of this process forward."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=ahead_s)

    runs.datetime = moment.datetime = Ahead  # type: ignore[attr-defined]


@contextmanager
def killed_when(ready: Path, process: ForkServerProcess) -> Iterator[None]:
    """Wait until the process has made the file, run the block, and kill the process."""
    try:
        for _ in range(600):
            if ready.exists() or not process.is_alive():
                break
            time.sleep(0.05)
        assert ready.exists(), process.exitcode
        yield
    finally:
        process.kill()
        process.join()


# What processes of other hosts do.


def append(results: Path, said: Path, count: int, back_s: float) -> None:
    """Add records to a run of its own; before each, say which it sees. Half way, the clock goes back."""
    run = runs.begin(results)
    for number in range(count):
        if number == count // 2:
            set_clock(-back_s)
        seen = [key(entry.run, entry.cell.seed) for _, entry in store.read_all(results)[0]]
        now = moment.now()
        store.append(results, MACHINE, dataclasses.replace(record(run=run, seed=number), started=now, ended=now))
        with said.open("a") as lines:
            lines.write(json.dumps({"wrote": key(run, number), "seen": seen}) + "\n")


def key(run: str, seed: int) -> str:
    return f"{run} {seed}"


def write_half_a_line(results: Path, run: str, cut: int, ready: Path) -> None:
    """Claim a run, write a record and the beginning of another, with images beside it, and stop there."""
    claim = runs.claim(results, run)
    file = store.append(results, MACHINE, record(run=run))
    with file.open("a") as lines:
        lines.write(record(run=run, seed=1).to_json()[:cut])
    (claim.file.parent / "data").mkdir()
    _wait(ready)


def report(results: Path, name: str, times: int) -> None:
    """Write reports that say whose they are."""
    for number in range(times):
        with runs.one_at_a_time(results, "report") as turn:
            artefacts.write(results, files(f"{name} {number}"), remove_stale=True, check_turn=turn.check)


def report_in_part(results: Path, name: str, written: int, ready: Path) -> None:
    """Begin to write a report, and stop after some of its files."""
    changes = itertools.count()

    def check_turn() -> None:
        if next(changes) == written:
            _wait(ready)

    with runs.one_at_a_time(results, "report"):
        artefacts.write(results, files(name), remove_stale=True, check_turn=check_turn)


def files(name: str, tables: int = 4) -> dict[str, bytes]:
    """The files of a report that says whose it is."""
    rows = {f"tables/{number}.csv": f"metric,model\n{name},{number}\n".encode() for number in range(tables)}
    return {"README.md": f"{store.PAGE_START}{name}\n".encode(), **rows}


def hold(results: Path, run: str, ready: Path) -> None:
    """Claim a run, and give signs of life quickly."""
    claims.BEAT_S = 0.05
    with runs.claim(results, run):
        _wait(ready)


def hold_lock(results: Path, ready: Path) -> None:
    with runs.one_at_a_time(results, "report"):
        _wait(ready)


def _wait(ready: Path) -> None:
    ready.touch()
    time.sleep(600)
    os._exit(1)


def age(file: Path, seconds: float) -> None:
    """Make the file older by its disk's clock."""
    changed = file.stat().st_mtime - seconds
    os.utime(file, (changed, changed))


def log_file(results: Path, run: str) -> Path:
    return log.file_of(results, log.RECORDS, MACHINE, run)
