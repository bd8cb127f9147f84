"""Start a worker for a job and turn every way it can end into a record."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bcdl.errors import UsageError
from bcdl.machine import environment, hardware, provenance
from bcdl.machine.clock import now_s
from bcdl.machine.hardware import MIB
from bcdl.records import disk, record
from bcdl.records.moment import now
from bcdl.records.record import Record, RecordError
from bcdl.runner import supervisor
from bcdl.runner.supervisor import Ending
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits
from bcdl.text import scrub

_TAIL_LINES = 20
# A record is a few MiB at most: per-image scores of some thousand test images.
_MOST_RESULT_BYTES = 64 * MIB
# What C++ and the frameworks print if they end the process for lack of memory, instead of raising an error.
_MEMORY_RAN_OUT = re.compile(r"bad_alloc|RESOURCE_EXHAUSTED|out of memory|can(?:'t|not) allocate memory", re.IGNORECASE)
WORKER = ("-m", "bcdl.worker")


def run(
    job: Job,
    run_id: str,
    log: Path,
    on_phase: Callable[[str], None],
    interpreter: str = sys.executable,
    limits: Limits | None = None,
    worker: Sequence[str] = WORKER,
) -> Record:
    """Run the job in a worker process of `interpreter`; its record, however the worker ended.

    Args:
        job: what to run.
        run_id: the run the record belongs to.
        log: file that takes the worker's stdout and stderr.
        on_phase: called with each phase as the worker begins it.
        interpreter: the Python that has the cell's backend.
        limits: limits beyond which the worker is ended; none if not given.
        worker: the interpreter's arguments that start a worker.
    """
    started, launched_s = now(), now_s()
    limits = limits or Limits()
    with _folder(log) as folder:
        asked = {"job": job.to_dict(), "run": run_id, "launched_s": launched_s}
        (folder / "job.json").write_text(json.dumps(asked), encoding="utf-8")
        files = [str(folder / part) for part in ("job.json", "result.json", "events.txt")]
        follow = _PhaseFollower(folder / "events.txt", on_phase)
        variables = {**environment.of_child(), "PYTHONUNBUFFERED": "1"}
        ending = supervisor.run([interpreter, *worker, *files], variables, log, limits, follow)
        outcome = _read_record(folder / "result.json", job, run_id)
        if outcome is not None:
            outcome = _with_ending(outcome, now_s() - launched_s)
    if outcome is None:
        status, reason = _death(ending, limits, _last_lines(log))
        metrics: dict[str, float | None] = {"peak_memory_mib": ending.peak_bytes / MIB} if ending.peak_bytes else {}
        facts = _environment(job)
        outcome = Record(run_id, status, reason, job.cell, started, now(), metrics, environment=facts)
    return outcome if outcome.ok else dataclasses.replace(outcome, log_tail=_last_lines(log))


@contextlib.contextmanager
def _folder(log: Path) -> Iterator[Path]:
    """A folder for the files by which a worker and its driver exchange data; the log's folder is made, too.

    UsageError if a folder can't be made.
    """
    with disk.writing(log.parent):
        log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="bcdl-", ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise UsageError(
            f"no worker could be started in {tempfile.gettempdir()} ({error}); make room there, or set TMPDIR"
        ) from error


class _PhaseFollower:
    """Reports each line that the worker adds to its file of events, once; to be called now and then."""

    def __init__(self, events: Path, on_phase: Callable[[str], None]) -> None:
        self._events, self._on_phase, self._reported = events, on_phase, 0

    def __call__(self) -> None:
        if not self._events.is_file():
            return
        phases = self._events.read_text(encoding="utf-8", errors="replace").splitlines()
        for phase in phases[self._reported :]:
            self._on_phase(phase)
        self._reported = len(phases)


def _read_record(result: Path, job: Job, run_id: str) -> Record | None:
    """The record in the file; None if the file holds no record of this job and run."""
    try:
        if result.stat().st_size > _MOST_RESULT_BYTES:
            return None
        outcome = Record.from_json(result.read_text(encoding="utf-8"))
    except (OSError, RecordError, UnicodeDecodeError):
        return None
    return outcome if (outcome.cell, outcome.run) == (job.cell, run_id) else None


def _with_ending(outcome: Record, seconds: float) -> Record:
    """The record with the phase that its worker could not time: from the record until nothing of the worker is left.

    `seconds` are those of the whole cell.
    """
    ending_s = max(0.0, seconds - sum(outcome.phases.values()))
    return dataclasses.replace(outcome, phases={**outcome.phases, "ending": ending_s})


def _death(ending: Ending, limits: Limits, last_lines: list[str]) -> tuple[str, str]:
    """Status and reason of a worker that ended without a record; `last_lines` are those of its log."""
    if ending.over == "time":
        return record.TIMED_OUT, f"it ran longer than --cell-timeout, {limits.seconds:g} s; give it more, or less to do"
    if ending.over == "memory":
        used, most = ending.peak_bytes // MIB, (limits.memory_bytes or 0) // MIB
        return (
            record.OUT_OF_MEMORY,
            f"it used {used} MiB of memory, more than --memory-limit, {most} MiB; use a smaller --batch-size or "
            "--image-size, or raise the limit",
        )
    if ending.code >= 0:
        return record.CRASHED, f"the worker ended with exit code {ending.code} and left no record; see its log"
    name = _signal_name(-ending.code)
    if name == "SIGKILL" and ending.system_killed:
        return record.OUT_OF_MEMORY, "the system ran out of memory and ended the worker; use a smaller --batch-size"
    if name == "SIGABRT" and any(map(_MEMORY_RAN_OUT.search, last_lines)):
        return record.OUT_OF_MEMORY, "memory ran out and the framework gave up; use a smaller --batch-size; see its log"
    hint = ", and not for want of memory, as far as the system says" if name == "SIGKILL" else ""
    return record.CRASHED, f"the worker was ended by {name}{hint}; see its log"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name
        return f"signal {number}"


def _environment(job: Job) -> dict[str, Any]:
    """What a record says of hardware, versions and commit, as the driver sees them."""
    return {**hardware.describe(job.cell.device), **provenance.commit()}


def _last_lines(log: Path) -> list[str]:
    """The last lines of the worker's log, without folders in paths; empty if the disk had no room for a log."""
    try:
        with log.open("rb") as lines:
            lines.seek(max(0, lines.seek(0, os.SEEK_END) - supervisor.LOG_TAIL_BYTES))
            text = lines.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [scrub(line) for line in text.splitlines()[-_TAIL_LINES:]]
