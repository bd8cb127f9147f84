"""Follows tasks on a cluster: which have their record, which run or wait, and what became of those without one.

A task is done when its record is in the results folder; the scheduler is asked about the others alone. So a driver may
end and another one go on, on any host that sees the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bcdl.errors import BcdlError
from bcdl.records import runs, store
from bcdl.records.record import OK, Record
from bcdl.runner.cluster import lost, slurm, submission
from bcdl.runner.cluster.slurm import State
from bcdl.runner.cluster.submission import Array, Submission, Task
from bcdl.runner.estimates import Estimates, Work, work_of
from bcdl.runner.progress import State as CellState
from bcdl.runner.progress import duration
from bcdl.runner.run import STATUS_FILE, seconds_of
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.words import titles
from bcdl.text import legible

# Seconds between two looks: the longer it goes on, the more, since each asks the controller.
_LEAST_PAUSE_S, _MOST_PAUSE_S, _PAUSE_SHARE = 1.0, 10.0, 0.05
# Seconds after which a task that has ended and left no record leaves none: a network's disk shows files late.
_GRACE_S = 30.0
# Cells that have ended a node, for what a node spends on a cell to be known: those that run count as time, too.
_ENDED_AT_LEAST = 4
_SHOWN_REASONS = 3  # for which tasks wait
_NO_REASON = ("", "None")
_AWAITED = "ended"  # in place of a reason
_UNREADABLE = "unreadable"

Key = tuple[str, int]  # the id of a run, and the number of a task


@dataclasses.dataclass(frozen=True)
class Watched:
    """A task that is followed."""

    submission: Submission
    array: Array
    index: int
    task: Task

    @property
    def key(self) -> Key:
        return self.submission.header.run, self.index

    @property
    def place(self) -> tuple[str, int]:
        """What the scheduler's queue knows it by."""
        return self.submission.name_of(self.array), self.index - self.array.first


@dataclasses.dataclass(frozen=True)
class Look:
    """How tasks stand at a moment.

    Attributes:
        done: how many have their record.
        failed: how many of these records are not ok.
        running: how many tasks run.
        waiting: how many wait, by the scheduler's reason; those whose record is awaited, too.
        left_s: estimated seconds until all are done; None if there is no estimate.
    """

    done: int
    failed: int
    running: int
    waiting: Mapping[str, int]
    left_s: float | None = None

    @property
    def left(self) -> int:
        """How many have no record."""
        return self.running + sum(self.waiting.values())

    @property
    def words(self) -> str:
        parts = [f"{self.done} done"]
        parts += [f"{self.failed} of them not ok"] if self.failed else []
        parts += [f"{self.running} running"] if self.running else []
        queued = Counter({reason: count for reason, count in self.waiting.items() if reason != _AWAITED})
        if number := queued.total():
            reasons = [reason for reason, _ in queued.most_common() if reason not in _NO_REASON]
            parts.append(f"{number} waiting" + (f" ({', '.join(reasons[:_SHOWN_REASONS])})" if reasons else ""))
        if ended := self.waiting.get(_AWAITED):
            parts.append(f"{ended} ended, and no record so far")
        about = "" if self.left_s is None or not self.left else f", about {duration(self.left_s)} left"
        return "; ".join(parts) + about


class Following:
    """Tasks, each until it has its record.

    Args:
        watched: the tasks.
        console: takes what a person should see.
    """

    def __init__(self, watched: Iterable[Watched], console: Console) -> None:
        self._console = console
        self._left = {each.key: each for each in watched}
        self._count = len(self._left)
        self._statuses: Counter[str] = Counter()
        self._ended_at: dict[Key, float] = {}
        self._time = _Time(each.task.job.cell for each in self._left.values())
        self._titles = titles(each.task.job.cell for each in self._left.values())
        self._silent = ""

    def until_done(self) -> None:
        """Follow the tasks until each has its record, and show how they stand meanwhile.

        Raises:
            UsageError: a record of a task that left none can't be written.
        """
        waited_s, shown = 0.0, ""
        with self._console.status("looking") if self._console.is_terminal else contextlib.nullcontext() as live:
            while (look := self.look()).left:
                if live:
                    live.update(escape(legible(look.words)))
                elif look.words != shown:
                    self._print(look.words)
                shown = look.words
                pause_s = min(_MOST_PAUSE_S, _LEAST_PAUSE_S + _PAUSE_SHARE * waited_s)
                time.sleep(pause_s)
                waited_s += pause_s
        self._print(look.words)

    def settle_ended(self) -> None:
        """Wait until each task that has ended has its record; not for those that run or are to run.

        Raises:
            UsageError: a record of a task that left none can't be written.
        """
        told = False
        while number := self.look().waiting.get(_AWAITED):
            if not told:
                self._print(
                    f"{number} tasks have ended without a record; if none comes in {_GRACE_S:.0f} s, each gets one"
                )
            told = True
            time.sleep(_LEAST_PAUSE_S)

    def look(self) -> Look:
        """Count the records that are new, ask the scheduler about the other tasks, and settle those that left none."""
        recorded = self._recorded()
        self._collect(recorded)
        states = self._states()
        if states is None:
            return self._look(0, Counter({"SLURM can't be asked": len(self._left)}))
        running, waiting = 0, Counter[str]()
        without: list[Watched] = []
        for key, watched in self._left.items():
            state = states.get(watched.place)
            if state is None or state.has_ended:
                waiting[_AWAITED] += 1
                without += [watched] if self._is_due(key) else []
            elif state.name == slurm.RUNNING:
                running += 1
            else:
                waiting[state.reason] += 1
        if without:
            self._settle(without, states, recorded)
            waiting[_AWAITED] -= self._collect(self._recorded())
        return self._look(running, +waiting)

    def _look(self, running: int, waiting: Mapping[str, int]) -> Look:
        self._time.pass_by(running)
        failed = sum(count for status, count in self._statuses.items() if status != OK)
        return Look(self._count - len(self._left), failed, running, waiting, self._time.left_s(running))

    def _recorded(self) -> dict[Key, list[Path]]:
        """The files of records of the tasks that are left."""
        submissions = {each.submission.header.run: each.submission for each in self._left.values()}
        return {
            (run, index): files
            for run, each in submissions.items()
            for index, files in each.recorded().items()
            if (run, index) in self._left
        }

    def _collect(self, recorded: Mapping[Key, list[Path]]) -> int:
        """Count the tasks that have a record now; how many there are."""
        new = [key for key, files in recorded.items() if key in self._left and submission.is_recorded(files)]
        for key in new:
            self._count_record(self._left.pop(key), recorded[key])
            self._ended_at.pop(key, None)
        return len(new)

    def _count_record(self, watched: Watched, files: Iterable[Path]) -> None:
        cell = watched.task.job.cell
        outcome = next((each for file in files for each in store.read_file(file)), None)
        self._time.end(cell, outcome)
        self._statuses[outcome.status if outcome else _UNREADABLE] += 1
        if outcome is None:
            self._print(f"{self._titles[cell]}: its record can't be read; bcdl report says why")
        elif not outcome.ok:
            self._print(f"{self._titles[cell]}: {outcome.status}: {outcome.reason}")

    def _states(self) -> dict[tuple[str, int], State] | None:
        """What the queue says; None if it can't be asked at the moment, which is said once."""
        try:
            states = slurm.states({watched.place[0] for watched in self._left.values()})
        except BcdlError as error:
            if not self._silent:
                self._print(f"note: {error}; the tasks go on, and it is asked again")
            self._silent = str(error)
            return None
        self._silent = ""
        return states

    def _is_due(self, key: Key) -> bool:
        """Whether a task that has ended has left no record for so long that it leaves none."""
        since = self._ended_at.setdefault(key, time.monotonic())
        return time.monotonic() - since >= _GRACE_S

    def _settle(
        self, without: Sequence[Watched], states: Mapping[tuple[str, int], State], recorded: Mapping[Key, list[Path]]
    ) -> None:
        """Give each of these tasks a record that says how it ended, unless a process of it may be alive."""
        jobs = {watched: _job_of(watched, states) for watched in without}
        try:
            ends = {job: slurm.ends(job) for job in set(jobs.values()) if job}
        except slurm.SilentError:  # it is asked again at the next look
            return
        for watched, job in jobs.items():
            end = ends.get(job, {}).get(watched.place[1])
            lost.settle(watched.submission, watched.index, recorded.get(watched.key, []), end)

    def _print(self, text: str) -> None:
        self._console.print(legible(text), markup=False, highlight=False, soft_wrap=True)


class _Time:
    """Estimates how long the cells that are left will take.

    A record says how long its cell took, and not what a node spent on it besides, until the next one began. That is
    known once some cells have ended while their nodes were looked at.

    Args:
        cells: all cells.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._estimates = Estimates()
        self._left: Counter[Work] = Counter()
        self._examples: dict[Work, Cell] = {}
        self._looked_at: float | None = None
        self._busy_s = self._ended_s = 0.0
        self._ended = 0
        for cell in cells:
            work = work_of(cell)
            self._left[work] += 1
            self._examples.setdefault(work, cell)

    def end(self, cell: Cell, outcome: Record | None) -> None:
        """Count a cell that has ended, with that record if it can be read."""
        self._left[work_of(cell)] -= 1
        if outcome and outcome.ok:
            self._estimates.learn(cell, seconds_of(outcome))
        if outcome and self._looked_at is not None:
            self._ended += 1
            self._ended_s += seconds_of(outcome)

    def pass_by(self, at_once: int) -> None:
        """Count the time since the last look, in which so many nodes were busy."""
        now = time.monotonic()
        self._busy_s += at_once * (now - self._looked_at) if self._looked_at is not None else 0.0
        self._looked_at = now

    def left_s(self, at_once: int) -> float | None:
        """Seconds until all have ended, if so many run at once; None if there is no estimate."""
        seconds = {work: self._estimates.seconds(self._examples[work]) for work in +self._left}
        if not at_once or None in seconds.values():
            return None
        left_s = sum(self._left[work] * (each or 0.0) for work, each in seconds.items()) / at_once
        is_known = self._ended >= _ENDED_AT_LEAST * at_once and self._ended_s
        return left_s * max(1.0, self._busy_s / self._ended_s) if is_known else left_s


def _job_of(watched: Watched, states: Mapping[tuple[str, int], State]) -> str:
    """The scheduler's id of the task's array; empty if neither the queue nor its driver has said it."""
    state = states.get(watched.place)
    return state.job if state else watched.array.job


def watched(each: Submission, arrays: Iterable[Array], tasks: Sequence[Task]) -> list[Watched]:
    """The tasks of these arrays, to be followed."""
    return [Watched(each, array, index, tasks[index]) for array in arrays for index in array.tasks]


def unfinished(results: Path, wanted: Collection[Job]) -> list[Watched]:
    """The tasks of earlier runs on the cluster that a driver would go on with, if it wants these jobs.

    Those are all tasks that were submitted of each run in which one of the jobs has no record yet.

    Raises:
        BcdlError: the scheduler can't be asked, or what was submitted can't be read.
    """
    going_on: list[Watched] = []
    for each in submission.all_of(results):
        recorded = each.recorded()
        if len(recorded) == each.header.count and all(map(submission.is_recorded, recorded.values())):
            continue
        ours = watched(each, _submitted(each), each.tasks())
        if any(one.task.job in wanted and not submission.is_recorded(recorded.get(one.index, ())) for one in ours):
            going_on += ours
    return going_on


def _submitted(each: Submission) -> list[Array]:
    """The arrays of the run that were submitted; of one whose driver was killed as it submitted it, the queue knows."""
    arrays = each.arrays()
    doubtful = [array for array in arrays if not array.job]
    queued = {name for name, _ in slurm.states([each.name_of(array) for array in doubtful])} if doubtful else set()
    return [
        array
        for array in arrays
        if array.job or each.name_of(array) in queued or any(map(Path.exists, map(each.folder_of, array.tasks)))
    ]


def by_files(each: Submission) -> Look:
    """How the tasks of a run stand as far as the results folder says it, whatever host looks: no scheduler is asked.

    How many of a run that is over are not ok is left out, since nobody follows it any more.
    """
    recorded, submitted = each.recorded(), sum(array.count for array in each.arrays())
    if len(recorded) >= submitted:
        return Look(len(recorded), 0, 0, {})
    statuses = (CellState.read(each.folder_of(index) / STATUS_FILE) for index in recorded)
    failed = sum(status is None or not status.done or status.failed > 0 for status in statuses)
    begun = {int(folder.name) for folder in (each.folder / runs.TASKS).glob("*/") if folder.name.isdecimal()}
    running = sum(runs.is_live(each.results, each.id_of(index)) for index in begun - recorded.keys())
    waiting = max(0, submitted - len(recorded) - running)
    return Look(len(recorded), failed, running, Counter({"": waiting} if waiting else {}))
