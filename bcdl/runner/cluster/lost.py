"""The record of a task that left none: its node failed, a limit or a person ended it, or it could not begin."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bcdl.machine import provenance, scheduler
from bcdl.records import log, record, runs, store
from bcdl.records.moment import now
from bcdl.records.record import Record
from bcdl.runner import launch, stored
from bcdl.runner.cluster import script
from bcdl.runner.cluster.slurm import End
from bcdl.runner.cluster.submission import TASK_LOG, Submission, is_recorded
from bcdl.runner.cluster.task import Begun
from bcdl.text import A_HOST, on_one_line

# The folder of records of cells that did not begin: nobody knows on which machine they would have run.
UNKNOWN_NODE = "unknown-node"
_OF_NO_NODE = {"scheduler": {"name": scheduler.NAME}}
_AGAIN = "--resume submits it again"
_ERROR = "error: "  # how the line of a command, or of the batch script, begins that says what is wrong
_LONGEST = 300  # letters of such a line in a reason
# What the scheduler's own process adds to a task's log: the ids of its job, and the name of its node.
_OF_SCHEDULER = ("slurmstepd", "srun:")
_BY_STATE = {
    "TIMEOUT": (record.TIMED_OUT, "SLURM ended it at its time limit{limit}; ask for more, --sbatch='--time=...'"),
    "DEADLINE": (record.TIMED_OUT, "SLURM ended it at the deadline of its job; ask for a later one"),
    "OUT_OF_MEMORY": (
        record.OUT_OF_MEMORY,
        "SLURM ended it, since it used more memory than its job had; ask for more, --sbatch='--mem=...', or use a "
        "smaller --batch-size",
    ),
    "CANCELLED": (record.CRASHED, f"its job was cancelled; {_AGAIN}"),
    "REVOKED": (record.CRASHED, f"its job was revoked by another cluster; {_AGAIN}"),
    "PREEMPTED": (record.CRASHED, f"its job had to give way to another one; {_AGAIN}"),
    "NODE_FAIL": (record.CRASHED, f"its node failed while it ran; {_AGAIN}"),
    "BOOT_FAIL": (record.CRASHED, f"its node did not start; {_AGAIN}"),
}
_BY_CODE = {
    script.NO_FOLDER: "its node can't see the results folder; choose one that all nodes see, with --results",
    script.NO_ROOM: "its node can't write into the results folder; make room, or choose another one with --results",
    script.NO_PYTHON: "its node does not have the Python of its backend; name one that all nodes see, with --python",
    script.NO_SETUP: "a line of --setup failed on its node; see to the line",
}


def settle(submission: Submission, index: int, files: list[Path], end: End | None) -> bool:
    """Give the task a record that says how it ended, unless it has one; whether it has one now.

    It has none yet as long as a process of the task may be alive, as on a node that the scheduler alone has lost.

    Args:
        submission: the run that it is a task of.
        index: its number.
        files: those of its records.
        end: how the scheduler says that it ended; None if it does not know.

    Raises:
        UsageError: the record can't be written.
    """
    run = submission.id_of(index)
    if runs.is_live(submission.results, run):
        return False
    for file in files:
        log.mend(file)
    with runs.adopt(submission.results, run):
        if not is_recorded(files):
            machine, outcome = _record(submission, index, end)
            store.append(submission.results, machine, outcome)
        for left in submission.folder_of(index).glob(f"{launch.EXCHANGE}*"):
            shutil.rmtree(left, ignore_errors=True)
    return True


def _record(submission: Submission, index: int, end: End | None) -> tuple[str, Record]:
    """The record of the task, and the folder of the machine that it ran on."""
    task, folder = submission.task(index), submission.folder_of(index)
    begun, lines = Begun.read(folder), _printed(folder)
    status, reason = why(end, _error_in(lines))
    started = begun.started if begun else submission.header.submitted
    outcome = Record(
        submission.id_of(index),
        status,
        reason,
        task.job.cell,
        started,
        max(started, now()),  # the clock of this host may be behind that of the node
        environment={**(begun.environment if begun else _OF_NO_NODE), **provenance.commit()},
        log_tail=lines,
    )
    outcome = stored.marked(outcome, task.job, submission.results, submission.marks_of(task))
    return (begun.machine if begun else UNKNOWN_NODE), _without_hosts(outcome, begun.hosts if begun else ())


def why(end: End | None, error: str) -> tuple[str, str]:
    """Status and reason of a task that left no record.

    Args:
        end: how the scheduler says that it ended; None if it does not know.
        error: what the task's log says was wrong; empty if nothing.
    """
    said = f": {error}" if error else ""
    if end is None:
        return record.CRASHED, f"it left no record, and SLURM does not know any more how it ended{said}; {_AGAIN}"
    if end.state in _BY_STATE:
        status, reason = _BY_STATE[end.state]
        return status, reason.format(limit=f" of {end.limit}" if end.limit else "")
    if end.code in _BY_CODE:
        return record.CRASHED, f"{_BY_CODE[end.code]}{said and f' ({error})'}"
    return record.CRASHED, f"its task {how(end)} and left no record{said or f'; see its {TASK_LOG}'}"


def how(end: End) -> str:
    """How a job ended that was not ended by the scheduler, in words that follow its name."""
    return "was ended by a signal" if end.code < 0 else f"ended with exit code {end.code}"


def _printed(folder: Path) -> list[str]:
    """The last lines of what the task printed, without what the scheduler added."""
    return [line for line in launch.last_lines(folder / TASK_LOG) if not line.startswith(_OF_SCHEDULER)]


def _error_in(lines: list[str]) -> str:
    """The last line that says what was wrong, without how it begins; empty if none does."""
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return on_one_line(errors[-1], _LONGEST) if errors else ""


def _without_hosts(outcome: Record, hosts: tuple[str, ...]) -> Record:
    """The record without these names of nodes in its sentences."""
    names = {each for host in hosts for each in (host, host.partition(".")[0]) if len(each) > 1}
    if not names:
        return outcome
    pattern = re.compile("|".join(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])" for name in sorted(names, reverse=True)))
    return stored.with_sentences(outcome, lambda text: pattern.sub(A_HOST, text))
