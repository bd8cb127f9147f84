"""Sides measured in turn: a process each, round after round, so that the machine's drift meets all sides alike.

A round of a cell is one process of each side, in random order. A side that fails is left out of the cell's further
rounds, and the others go on. A run that was interrupted goes on with the rounds that it lacks, on the same machine,
data, code and versions alone.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bcdl.errors import BcdlError, UsageError
from bcdl.machine import hardware
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import SETTLED, Run, check_all
from bcdl.settings.job import Job
from bcdl.text import first_few, legible

# A side that failed so often on a cell is left out of its further rounds. What would end so again is left out at once.
MOST_FAILURES = 2


@dataclasses.dataclass(frozen=True)
class Side:
    """One side.

    Attributes:
        name: its letter.
        run: its run; the jobs of all sides are of the same cells but for what sets the sides apart, in the same order.
    """

    name: str
    run: Run


def check(sides: Sequence[Side]) -> list[str]:
    """Check the runs of all sides, as `check_all` does."""
    return check_all([side.run for side in sides])


class Cell:
    """One cell on all sides: how many rounds it has, and which sides still take part.

    Args:
        jobs: the job of each side, by the side's name.
    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.jobs = dict(jobs)
        self.next_round = 0
        self.left_out: dict[str, str] = {}
        self._ok: dict[int, set[str]] = {}
        self._failures: Counter[str] = Counter()

    @property
    def sides(self) -> list[str]:
        """The names of the sides that take part in the next round."""
        return [name for name in self.jobs if name not in self.left_out]

    @property
    def is_compared(self) -> bool:
        """Whether two sides or more take part in the next round."""
        return len(self.sides) > 1

    @property
    def title(self) -> str:
        """The cell in words, as its first side has it."""
        return next(iter(self.jobs.values())).cell.title

    def note(self, side: str, number: int, record: Record) -> None:
        """Count a record that the side left in the round of that number."""
        self.next_round = max(self.next_round, number + 1)
        if record.ok:
            self._ok.setdefault(number, set()).add(side)
            return
        self._failures[side] += 1
        if record.status in SETTLED or self._failures[side] >= MOST_FAILURES:
            self.left_out[side] = f"{record.status}: {record.reason}"

    def forgive(self) -> None:
        """Let the sides take part again that failed in a way which need not come again."""
        settled = {side: reason for side, reason in self.left_out.items() if reason.partition(":")[0] in SETTLED}
        self.left_out = settled
        self._failures.clear()

    def whole_rounds(self) -> int:
        """How many rounds have a record that is ok of every side that takes part."""
        return sum(set(self.sides) <= ok for ok in self._ok.values())


class Turns:
    """The cells of two sides or more, measured in turn.

    Args:
        sides: the sides, whose runs have been checked.
        rounds: how many rounds each cell gets.
        run_id: the id that names the comparison: that of the run which began it.

    Attributes:
        cells: one for each job of a side.
    """

    def __init__(self, sides: Sequence[Side], rounds: int, run_id: str) -> None:
        self.sides = {side.name: side for side in sides}
        self.run_id = run_id
        jobs = zip(*(side.run.jobs for side in sides), strict=True)
        self.cells = [Cell(dict(zip(self.sides, of_cell, strict=True))) for of_cell in jobs]
        self._rounds = rounds
        self._order = random.Random(run_id)
        self._machine = self._identity()

    @property
    def left(self) -> list[Job]:
        """The jobs that are left to run, if no side fails, in the order of their rounds."""
        return _jobs_of_rounds(self._rounds_left())

    def take_up(self, results: Path, machine: str) -> str:
        """Go on with the newest comparison of these cells in the results folder; what it has already, in words.

        Raises:
            UsageError: it was measured on another machine, or code, data, weights or versions are others now.
        """
        earlier = _newest(results, self.sides.values())
        if earlier is None:
            return "resumed: there is no comparison of these cells to go on with; this one begins anew"
        for place, record in earlier.records:
            self._check(place, record, machine, earlier.run_id)
        for _, record in earlier.records:
            cell = next(cell for cell in self.cells if cell.jobs[record.side].cell == record.cell)
            cell.note(record.side, _round_of(record), record)
        for cell in self.cells:
            cell.forgive()
        self.run_id, self._order = earlier.run_id, random.Random(f"{earlier.run_id}/{len(earlier.records)}")
        done = sum(cell.whole_rounds() for cell in self.cells)
        return f"resumed: {done} of {self._rounds * len(self.cells)} rounds of {earlier.run_id} are whole already"

    def measure(self, progress: RunProgress) -> None:
        """Measure the rounds that are left.

        Raises:
            BcdlError: the machine is another than it was when this began; every record until then is kept.
        """
        left = self._rounds_left()
        while left:
            cell = left.popleft()
            if cell.is_compared:
                self._measure_round(cell, progress)
                # Anew after each round: a side may have been left out since.
                progress.plan([job.cell for job in _jobs_of_rounds(left)])

    def failures(self) -> list[str]:
        """A line for each side of a cell that was left out, and why."""
        return [
            f"side {side} was left out of further rounds: {cell.jobs[side].cell.title}: {reason}"
            for cell in self.cells
            for side, reason in cell.left_out.items()
        ]

    def _measure_round(self, cell: Cell, progress: RunProgress) -> None:
        number = cell.next_round
        for name in self._order.sample(cell.sides, k=len(cell.sides)):
            self._check_machine()
            side = self.sides[name]
            block = f"{self.run_id}/{number}"
            (record,) = side.run.measure([cell.jobs[name]], progress, block=block, side=name)
            cell.note(name, number, record)

    def _rounds_left(self) -> deque[Cell]:
        """The cells of the rounds that are left, in their order: each cell as often as it lacks a whole round."""
        lacking = {cell: self._rounds - cell.whole_rounds() for cell in self.cells}
        most = max(lacking.values(), default=0)
        return deque(cell for number in range(most) for cell in self.cells if number < lacking[cell])

    def _identity(self) -> str:
        first = next(iter(self.sides.values())).run.jobs[0]
        return str(hardware.identity(first.cell.device)["digest"])

    def _check_machine(self) -> None:
        if (now := self._identity()) != self._machine:
            raise BcdlError(
                f"this machine is another now (identity {now}, before {self._machine}): processor or cores allowed "
                "changed while the sides were measured; every record until now is kept; measure all rounds on one"
            )

    def _check(self, place: str, record: Record, machine: str, run_id: str) -> None:
        """Raise UsageError if the record's figures may not stand beside those that would be measured now."""
        advice = "leave --resume out, to begin a new comparison"
        if place != machine:
            raise UsageError(f"--resume: {run_id} was measured on another machine, {legible(place)}; {advice}")
        run = self.sides[record.side].run
        job = next(job for job in run.jobs if job.cell == record.cell)
        if changed := run.changes(record, job):
            what = f"side {record.side} of {run_id} differs from what is asked now in {first_few(changed)}"
            raise UsageError(f"--resume: {what}; {advice}")


def _jobs_of_rounds(cells: Iterable[Cell]) -> list[Job]:
    """The jobs of a round of each of these cells; none of one that is not compared any more."""
    return [cell.jobs[name] for cell in cells if cell.is_compared for name in cell.sides]


@dataclasses.dataclass(frozen=True)
class _Earlier:
    """A comparison in the log: its id, and its records, each with its machine, oldest first."""

    run_id: str
    records: list[tuple[str, Record]]


def _newest(results: Path, sides: Iterable[Side]) -> _Earlier | None:
    """The newest comparison in the results folder whose sides have these names and whose records are of these cells."""
    cells = {side.name: {job.cell for job in side.run.jobs} for side in sides}
    by_run: dict[str, list[tuple[str, Record]]] = {}
    for machine, record in store.read_all(results)[0]:
        if record.block:
            by_run.setdefault(record.block.partition("/")[0], []).append((machine, record))
    fitting = [
        _Earlier(run_id, records)
        for run_id, records in by_run.items()
        if all(record.cell in cells.get(record.side, ()) for _, record in records)
    ]
    return fitting[-1] if fitting else None


def _round_of(record: Record) -> int:
    """The number of the record's round; 0 if its block does not say."""
    number = record.block.rpartition("/")[2]
    return int(number) if number.isdecimal() else 0
