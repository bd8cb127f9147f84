"""Start a worker for one job or several and turn every way it can end into a record."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.machine import hardware, provenance
from bcdl.machine.clock import now_s
from bcdl.machine.hardware import MIB
from bcdl.records import disk, record
from bcdl.records.moment import now
from bcdl.records.record import Record, RecordError
from bcdl.records.shapes import host_peak
from bcdl.runner import supervisor
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.supervisor import Ending, Supervised
from bcdl.settings.job import RESULT_LOST, Job
from bcdl.settings.limits import Limits
from bcdl.text import on_one_line, scrub

_TAIL_LINES = 20
_LONGEST_REASON = 300  # letters of why a record is refused
# A record is a few MiB at most: per-image scores of some thousand test images.
_MOST_RESULT_BYTES = 64 * MIB
# What a process that aborts may print besides what errors say: then nothing but a lack of memory is named so.
_OUT_OF_MEMORY = re.compile(r"\bout of memory\b|\bbad_alloc\b", re.IGNORECASE)
WORKER = ("-m", "bcdl.worker")
THIS = Interpreter()
# How the name begins of a folder, in that of a run, that lasts no longer than a worker.
EXCHANGE = "exchange-"
# Called with a phase, in words for people, as it begins.
OnPhase = Callable[[str], None]


def run(
    job: Job,
    run_id: str,
    log: Path,
    on_phase: OnPhase,
    interpreter: Interpreter = THIS,
    limits: Limits | None = None,
    worker: Sequence[str] = WORKER,
) -> Record:
    """Run the job in a worker of its own, as `started` starts it; its record, however the worker ended.

    `on_phase` is called with each phase as the worker begins it.
    """
    with started([job], run_id, log, interpreter, limits, worker) as process:
        return process.record_of_next(on_phase)


@contextlib.contextmanager
def started(
    jobs: Sequence[Job],
    run_id: str,
    log: Path,
    interpreter: Interpreter = THIS,
    limits: Limits | None = None,
    worker: Sequence[str] = WORKER,
) -> Iterator[Worker]:
    """A worker process that runs the jobs one after the other; nothing of it is left when the block ends.

    Args:
        jobs: what to run.
        run_id: the run that the records belong to.
        log: file that takes the worker's stdout and stderr.
        interpreter: has the cells' backend.
        limits: limits beyond which the worker is ended, none if not given; that of time is of each job.
        worker: the interpreter's arguments that start a worker.
    """
    launched_s = now_s()
    variables = {**interpreter.variables, "PYTHONUNBUFFERED": "1"}
    with _exchange(log.parent) as folder:
        asked = [_Asked(job, run_id, number, folder, interpreter) for number, job in enumerate(jobs)]
        with disk.writing(folder):
            for each in asked:
                each.write(launched_s)
        files = [str(file) for each in asked for file in (each.job_file, each.result_file, each.events_file)]
        with supervisor.started([interpreter.python, *worker, *files], variables, log) as process:
            yield Worker(process, asked, log, limits or Limits(), launched_s)


class Worker:
    """A worker process at its jobs.

    Args:
        process: the process.
        asked: the jobs, in order.
        log: the file that takes what the process prints.
        limits: limits beyond which it is ended.
        launched_s: the clock's reading when it was launched.
    """

    def __init__(
        self, process: Supervised, asked: Sequence[_Asked], log: Path, limits: Limits, launched_s: float
    ) -> None:
        self._process, self.log, self._limits = process, log, limits
        self._waiting = list(asked)
        self._begun_s = launched_s

    @property
    def goes_on(self) -> bool:
        """Whether it runs another job: there is one, and all before ended well."""
        return bool(self._waiting) and not self._process.ended

    def record_of_next(self, on_phase: OnPhase, seconds: float = math.inf) -> Record:
        """The record of the next job, however it ends; `on_phase` is called with each phase as it begins.

        If it is not ok, the worker is ended: nobody knows what state it is in. So it is after so many seconds.

        Raises:
            UsageError: the worker found no room for the record.
        """
        asked, started = self._waiting.pop(0), now()
        limits = self._limits.within(seconds)
        follower = _Follower(asked, on_phase)
        end = self._process.watch(limits, follower)
        if not self._waiting or isinstance(end, Ending) or not end.ok:
            self._process.end()
        if isinstance(end, Ending):
            _check_room(asked, end)
            outcome = _record_of_death(asked, _Death(end, limits, self.log, follower.refused), started)
        else:
            outcome = _with_ending(end, now_s() - self._begun_s)
        self._begun_s = now_s()
        return outcome if outcome.ok else dataclasses.replace(outcome, log_tail=last_lines(self.log))


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A job that a worker of an interpreter is asked to run, after so many others, and the folder of their files."""

    job: Job
    run_id: str
    cells_before: int
    folder: Path
    interpreter: Interpreter

    @property
    def job_file(self) -> Path:
        return self.folder / f"job-{self.cells_before}.json"

    @property
    def result_file(self) -> Path:
        return self.folder / f"result-{self.cells_before}.json"

    @property
    def events_file(self) -> Path:
        return self.folder / f"events-{self.cells_before}.txt"

    def write(self, launched_s: float) -> None:
        """Write the job's file; `launched_s` is the clock's reading when the worker is launched."""
        values = {"job": self.interpreter.values_of(self.job), "run": self.run_id, "launched_s": launched_s}
        self.job_file.write_text(json.dumps(values), encoding="utf-8")


@contextlib.contextmanager
def _exchange(of_run: Path) -> Iterator[Path]:
    """A folder, in that of the run, for the files by which a worker and its driver exchange data.

    It lies there since what has room for records has room for results. UsageError if it can't be made.
    """
    with disk.writing(of_run):
        of_run.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=EXCHANGE, dir=of_run))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Follower:
    """Reports each phase that a worker begins, once, and gives the job's record when it is there; called repeatedly.

    Attributes:
        refused: why what stands in the place of the record is none; empty if nothing stands there.
    """

    def __init__(self, asked: _Asked, on_phase: OnPhase) -> None:
        self._asked, self._on_phase, self._reported = asked, on_phase, 0
        self.refused = ""

    def __call__(self) -> Record | None:
        self._report()
        try:
            return _read_record(self._asked)
        except (RecordError, OSError, UnicodeDecodeError) as error:
            self.refused = on_one_line(error, _LONGEST_REASON)
        return None

    def _report(self) -> None:
        if not self._asked.events_file.is_file():
            return
        phases = self._asked.events_file.read_text(encoding="utf-8", errors="replace").splitlines()
        for phase in phases[self._reported :]:
            self._on_phase(phase)
        self._reported = len(phases)


def _check_room(asked: _Asked, ending: Ending) -> None:
    """UsageError, which ends the run, if the worker found no room for its record, as all after it would."""
    if ending.code == RESULT_LOST:
        raise UsageError(
            f"{asked.folder.parent} has no room for the record of {asked.job.cell.title}, which is lost; make room or "
            "choose another folder with --results, then give the same command with --resume, if it has that option"
        )


def _read_record(asked: _Asked) -> Record | None:
    """The record that the worker left; None if it has left none so far.

    Raises:
        RecordError, OSError, UnicodeDecodeError: what it left is no record of this job and run.
    """
    result = asked.result_file
    if not result.exists():
        return None
    if (size := result.stat().st_size) > _MOST_RESULT_BYTES:
        raise RecordError(f"{size // MIB} MiB, which is more than a record has")
    outcome = Record.from_json(result.read_text(encoding="utf-8"))
    if (outcome.cell, outcome.run) != (asked.job.cell, asked.run_id):
        raise RecordError("a record of another cell or run than was asked for")
    return outcome


def _with_ending(outcome: Record, seconds: float) -> Record:
    """The record with the phase that its worker could not time: from the record until the driver goes on.

    `seconds` are those of the whole cell.
    """
    ending_s = max(0.0, seconds - sum(outcome.phases.values()))
    return dataclasses.replace(outcome, phases={**outcome.phases, "ending": ending_s})


@dataclasses.dataclass(frozen=True)
class _Death:
    """How a worker ended without a record: its `limits` and its `log`, and why what it left is no record, if it did."""

    ending: Ending
    limits: Limits
    log: Path
    refused: str

    @property
    def outcome(self) -> tuple[str, str]:
        """Status and reason of its record."""
        ending, log = self.ending, self.log
        if ending.over:
            return self._over_a_limit()
        if ending.code >= 0:
            left = f"; what it left in its place is refused: {self.refused}" if self.refused else ""
            return (
                record.CRASHED,
                f"the worker ended with exit code {ending.code} and left no record{left}; see {log.name}",
            )
        name = _signal_name(-ending.code)
        if name == "SIGKILL" and ending.system_killed:
            return record.OUT_OF_MEMORY, "the system ran out of memory and ended the worker; use a smaller --batch-size"
        if name == "SIGABRT" and any(map(_tells_lack_of_memory, last_lines(log))):
            return (
                record.OUT_OF_MEMORY,
                f"memory ran out and the framework gave up; use a smaller --batch-size; see {log.name}",
            )
        hint = ", and not for want of memory, as far as the system says" if name == "SIGKILL" else ""
        return record.CRASHED, f"the worker was ended by {name}{hint}; see {log.name}"

    def _over_a_limit(self) -> tuple[str, str]:
        limits = self.limits
        if self.ending.over == "time":
            allowed = f"{limits.seconds:g} s; give it more, or less to do"
            return record.TIMED_OUT, f"it ran longer than --cell-timeout, {allowed}"
        used, most = self.ending.peak_bytes // MIB, (limits.memory_bytes or 0) // MIB
        return (
            record.OUT_OF_MEMORY,
            f"it used {used} MiB of memory, more than --memory-limit, {most} MiB; use a smaller --batch-size or "
            "--image-size, or raise the limit",
        )


def _record_of_death(asked: _Asked, death: _Death, started: str) -> Record:
    """The record of a job whose worker ended without one."""
    status, reason = death.outcome
    peak_bytes = death.ending.peak_bytes
    peak = {host_peak(asked.job.cell.device): peak_bytes / MIB} if peak_bytes else {}
    facts = {
        **hardware.describe(asked.job.cell.device),
        **_code(asked),
        **asked.interpreter.facts,
        "process": {"cells_before": asked.cells_before},
    }
    return Record(asked.run_id, status, reason, asked.job.cell, started, now(), dict(peak), environment=facts)


def _code(asked: _Asked) -> dict[str, Any]:
    """The code that the worker ran, if it is that of this process; another bcdl's is among its interpreter's facts."""
    if asked.interpreter.source is not None:
        return {}
    return {**provenance.commit(), "code_changed": provenance.changed(asked.job.cell.backend)}


def _tells_lack_of_memory(line: str) -> bool:
    return backends.says_memory_ran_out(line) or _OUT_OF_MEMORY.search(line) is not None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name
        return f"signal {number}"


def last_lines(log: Path) -> list[str]:
    """The last lines of the worker's log, without folders in paths; empty if the disk had no room for a log."""
    try:
        with log.open("rb") as lines:
            lines.seek(max(0, lines.seek(0, os.SEEK_END) - supervisor.LOG_TAIL_BYTES))
            text = lines.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [scrub(line) for line in text.splitlines()[-_TAIL_LINES:]]
