"""Runs the cells of a run that fit in a budget of time, planned anew after each, and says which were left out."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bcdl.errors import UsageError
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.runner import plan
from bcdl.runner.plan import Candidate, Plan
from bcdl.runner.progress import RunProgress, duration
from bcdl.settings import profiles
from bcdl.settings.job import Job

# What the report at the end takes on a slow machine: it draws the plots of the run, and all others of the folder.
_REPORT_S = 30.0
_REPORT_S_A_PLOT = 1.5


class Cells(Protocol):
    """What runs cells and holds their records: a run, or a study of several."""

    @property
    def records(self) -> Mapping[Job, Record]: ...

    def measure(
        self, jobs: Sequence[Job], progress: RunProgress, *, allowed_s: Callable[[Job], float]
    ) -> Sequence[Record]:
        """As `Run.measure`."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """A budget of time, which runs from the moment that it begins.

    Attributes:
        text: as typed.
        report_s: seconds of it that are kept for the report.
        cells_s: seconds of it that are for cells.
        ends: when these are over, by `time.monotonic`.
    """

    text: str
    report_s: float
    cells_s: float
    ends: float

    @classmethod
    def begin(cls, text: str, seconds: float, results: Path) -> Budget:
        """The budget of so many seconds, beginning now; UsageError if it leaves no time for cells."""
        there = sum(1 for _ in results.glob(f"{store.PLOTS}/*/*.png"))
        report_s = _REPORT_S + _REPORT_S_A_PLOT * there
        cells_s = seconds - report_s
        if cells_s <= 0:
            raise UsageError(
                f"--budget {text} leaves no time for cells: {duration(report_s)} are kept for the report; give more"
            )
        return cls(text, report_s, cells_s, time.monotonic() + cells_s)

    @property
    def left_s(self) -> float:
        """Seconds left for cells; negative once they are over."""
        return self.ends - time.monotonic()


class BudgetedRun:
    """The cells of a run, or of a study, within a budget.

    Args:
        run: the run or study, checked.
        jobs: those of its jobs that are wanted and have no record yet.
        progress: shows the cells, and estimates their seconds.
        budget: the budget, begun.
    """

    def __init__(self, run: Cells, jobs: Sequence[Job], progress: RunProgress, budget: Budget) -> None:
        self._run, self._progress, self._budget = run, progress, budget
        self._jobs = list(jobs)
        self._is_ordered = any(profiles.find(job.cell.profile).first for job in jobs)
        self._left_out: set[Job] = set()
        self._begun: dict[Job, float] = {}  # with the seconds that each was allowed
        self._plan = self._make_plan(budget.left_s)

    @property
    def order(self) -> list[Job]:
        """The jobs as far as they are planned, in the order in which they run, then those left out."""
        return [candidate.job for candidate in (*self._plan.fitting, *self._plan.left_out)]

    @property
    def intention(self) -> str:
        """The plan before the first cell, in words."""
        start = f"--budget {self._budget.text}, {duration(self._budget.report_s)} of it for the report"
        return f"{start}: {self._plan_words()}"

    def run_until(self, job: Job) -> str:
        """Run cells as planned until the job has its record or is left out; why it was left out, else empty."""
        while job in self._waiting and self._plan.fitting:
            self._run.measure(self._next_together(), self._progress, allowed_s=self._allowed_s)
            self._plan_anew()
        if job in self._run.records:
            return ""
        if job in self._waiting:
            self._left_out.add(job)
        return f"{self._why(job)}; {self._advice()}"

    def summary(self) -> list[str]:
        """What was left out and why, in lines for people; empty if nothing was."""
        lines = [f"{self._progress.title(job.cell)}: {self._why(job)}" for job in self._cut]
        if left_out := [job for job in self._jobs if job in self._left_out]:
            names = _names(map(self._candidate, left_out))
            lines.append(f"left out, since they did not fit in --budget {self._budget.text}: {names}")
        return [*lines, self._advice()] if lines else []

    @property
    def _waiting(self) -> list[Job]:
        """The jobs that were neither begun nor left out."""
        return [job for job in self._jobs if job not in self._begun and job not in self._left_out]

    @property
    def _cut(self) -> list[Job]:
        """The jobs that were ended unfinished."""
        return [job for job in self._begun if job not in self._run.records]

    def _next_together(self) -> list[Job]:
        """The job that is first in the plan, and those planned that may share its process.

        It is alone if it is the first of its kind and other kinds wait for their first.
        """
        first, *others = (candidate.job for candidate in self._plan.fitting)
        done = self._done()
        without = {kind for kind in map(plan.kind_of, (first, *others)) if not done[kind]}
        if plan.kind_of(first) in without and len(without) > 1:
            return [first]
        return [first, *(job for job in others if job.process_key == first.process_key)]

    def _allowed_s(self, job: Job) -> float:
        """Seconds left for the job, which is then begun; 0 if it does not fit any more."""
        left_s = self._plan_anew()
        if all(candidate.job != job for candidate in self._plan.fitting):
            return 0.0
        self._begun[job] = left_s
        return left_s

    def _plan_anew(self) -> float:
        """Make a new plan, and print it if it holds other jobs than were planned; the seconds that are left."""
        planned = {candidate.job for candidate in self._plan.fitting} - self._begun.keys()
        left_s = self._budget.left_s
        self._plan = self._make_plan(left_s)
        if {candidate.job for candidate in self._plan.fitting} != planned:
            self._progress.print(f"new plan: {self._plan_words()}")
        return left_s

    def _make_plan(self, left_s: float) -> Plan:
        new = plan.make(map(self._candidate, self._waiting), left_s, self._done(), self._is_ordered)
        self._progress.plan([candidate.job.cell for candidate in new.fitting])
        return new

    def _plan_words(self) -> str:
        made = self._plan
        if not made.fitting:
            return f"no cell fits; not planned: {_names(made.left_out)}" if made.left_out else "no cell is left to run"
        if made.seconds is None:
            first = "that of most value" if self._is_ordered else "the cell of fewest operations"
            return (
                f"how long cells take on this machine is not known yet; {first} runs first, and each one that ends "
                "gives a new plan"
            )
        number = len(made.fitting) + len(made.left_out)
        words = f"{len(made.fitting)} of {number} cells planned, {_about(made.seconds)}"
        return f"{words}; not planned: {_names(made.left_out)}" if made.left_out else words

    def _done(self) -> Counter[plan.Kind]:
        """How many cells of each kind are ok."""
        return Counter(plan.kind_of(job) for job, outcome in self._run.records.items() if outcome.ok)

    def _candidate(self, job: Job) -> Candidate:
        estimates = self._progress.estimates
        return Candidate(job, estimates.seconds(job.cell), estimates.operations(job.cell))

    def _why(self, job: Job) -> str:
        text = f"--budget {self._budget.text}"
        if job in self._cut:
            return f"ended unfinished after {duration(self._begun[job])}, without a record, since {text} was over"
        return f"left out, since it did not fit in {text} ({_about(self._candidate(job).seconds)})"

    def _advice(self) -> str:
        """How to run what was left out; with the same budget only if each of it fits there, as far as is known."""
        seconds = [self._candidate(job).seconds or 0.0 for job in (*self._left_out, *self._cut)]
        more = len(self._cut) == len(self._begun) or max(seconds) > self._budget.cells_s
        return f"the same command with --resume {'and a longer --budget ' if more else ''}runs the rest"


def _names(candidates: Iterable[Candidate]) -> str:
    """The models of the candidates, each with about how long its cells take together."""
    by_model: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_model.setdefault(candidate.model, []).append(candidate)
    return ", ".join(
        f"{model} ({f'{len(cells)} cells, ' if len(cells) > 1 else ''}{_about(plan.total(cells))})"
        for model, cells in by_model.items()
    )


def _about(seconds: float | None) -> str:
    return "no estimate" if seconds is None else f"about {duration(seconds)}"
