"""What a node runs: `python -m bcdl.runner.cluster.task FOLDER TASK` runs one cell and stores its record.

FOLDER is that of the run. A task that was started again, since its node failed or the job was put back into the queue,
finds the record of its first attempt and ends, or waits until that one is known to be dead.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import sys
import time
from pathlib import Path

from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.machine import hardware, provenance, scheduler
from bcdl.records import claims, disk, log, record, runs
from bcdl.records.claims import Claim
from bcdl.records.moment import now
from bcdl.records.record import Record
from bcdl.runner.cluster.submission import BEGUN, Submission, Task, is_recorded
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.screen import say
from bcdl.settings.job import Job
from bcdl.settings.limits import resolve_limits

_LOOK_S = 5.0
# How often a task looks whether an earlier attempt is dead: for longer than one may be silent and alive.
_MOST_LOOKS = int(2 * claims.SILENT_S / _LOOK_S)


def main() -> int:
    folder, index = _arguments(sys.argv[1:])
    submission = Submission.read(folder)
    if submission is None or index >= submission.header.count:
        raise UsageError(f"{folder} says of no task {index} what it is; submit the cells again")
    if is_recorded(submission.recorded().get(index, ())):
        say(f"task {index} has its record already")
        return 0
    return _run(submission, index, submission.task(index))


def _arguments(words: list[str]) -> tuple[Path, int]:
    if len(words) != 2 or not (words[1].isascii() and words[1].isdecimal()):
        raise UsageError("give the folder of a run that bcdl submit has made, and the number of a task")
    return Path(words[0]), int(words[1])


def _run(submission: Submission, index: int, task: Task) -> int:
    """Run the cell, unless an earlier attempt leaves its record meanwhile; 1 if it is not ok."""
    run = _OfTask(
        [task.job],
        submission.results,
        submission.id_of(index),
        resolve_limits(submission.header.limits),
        worker=submission.header.worker,
        marks={task.job: submission.marks_of(task)},
        seen=submission.header.seen,
    )
    run.begin(_claim(run.results, run.id))
    files = submission.recorded().get(index, [])
    for line in filter(None, map(log.mend, files)):
        say(line)
    if is_recorded(files):
        say(f"an earlier attempt at task {index} has left its record")
        return 0
    begun = Begun.here(task.job)
    begun.write(submission.folder_of(index))
    try:
        run.measure([task.job], RunProgress(console(), [task.job.cell], run.folder / STATUS_FILE))
    except BcdlError as error:
        if task.job in run.records or not run.is_held:
            raise
        run.keep(task.job, begun.failure(run.id, task.job, f"{error}"))
        raise
    return 0 if run.records[task.job].ok else 1


def _claim(results: Path, run: str) -> Claim:
    """Claim the run of a task, as soon as no earlier attempt at it is known to live; UsageError if one goes on."""
    for _ in range(_MOST_LOOKS):
        if not runs.is_live(results, run):
            break
        time.sleep(_LOOK_S)
    return runs.adopt(results, run)


class _OfTask(Run):
    """The run of a task. It stores nothing once another attempt, or the driver, has taken its place."""

    @property
    def is_held(self) -> bool:
        """Whether the run is this process's still."""
        return self._alive.is_held

    def keep(self, job: Job, outcome: Record) -> None:
        self._alive.check()
        super().keep(job, outcome)


@dataclasses.dataclass(frozen=True)
class Begun:
    """What a task leaves before it measures, for the record that it may not live to write.

    Attributes:
        machine: the folder of its records.
        environment: as a record says it, without the code.
        started: when it began, as records say it.
        hosts: names of its node, which no record may hold.
    """

    machine: str
    environment: dict[str, object]
    started: str
    hosts: tuple[str, ...]

    @classmethod
    def here(cls, job: Job) -> Begun:
        device = job.cell.device
        environment = {**hardware.describe(device), **scheduler.facts()}
        return cls(hardware.machine_name(device), environment, now(), (socket.gethostname(), *scheduler.hosts()))

    @classmethod
    def read(cls, folder: Path) -> Begun | None:
        """What the task of that folder left; None if it did not get so far."""
        try:
            values = json.loads((folder / BEGUN).read_text(encoding="utf-8"))
            return cls(values["machine"], dict(values["environment"]), values["started"], tuple(values["hosts"]))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def write(self, folder: Path) -> None:
        with disk.writing(folder):
            disk.replace(folder / BEGUN, json.dumps(dataclasses.asdict(self)).encode())

    def failure(self, run: str, job: Job, reason: str) -> Record:
        """The record of the cell if it fails for that reason."""
        facts = {**self.environment, **provenance.commit()}
        return Record(run, record.FAILED, reason, job.cell, self.started, now(), environment=facts)


if __name__ == "__main__":
    run_command(main)
