"""Runs the cells of a run that fit in a budget of time, planned anew after each, and says which were left out."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.records import store
from bcdl.runner import plan
from bcdl.runner.plan import Candidate, Plan
from bcdl.runner.progress import RunProgress, duration
from bcdl.runner.run import Run
from bcdl.settings.job import Job

# What the report at the end takes on a slow machine: it draws all plots of the results folder anew.
_REPORT_S = 15.0
_REPORT_S_A_PLOT = 1.5


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
        report_s = _REPORT_S + _REPORT_S_A_PLOT * sum(1 for _ in results.glob(f"{store.PLOTS}/*/*.png"))
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
    """The cells of a run within a budget.

    Args:
        run: the run, checked.
        jobs: those of its jobs that are wanted and have no record yet.
        progress: shows the cells, and estimates their seconds.
        budget: the budget, begun.
    """

    def __init__(self, run: Run, jobs: Sequence[Job], progress: RunProgress, budget: Budget) -> None:
        self._run, self._progress, self._budget = run, progress, budget
        self._waiting = list(jobs)
        self._left_out: list[Job] = []
        self._cut: dict[Job, float] = {}
        self._ended = 0
        self._plan = self._make_plan()

    @property
    def order(self) -> list[Job]:
        """The jobs as far as they are planned, in the order in which they run, then those left out."""
        return [candidate.job for candidate in (*self._plan.fitting, *self._plan.left_out)]

    @property
    def intention(self) -> str:
        """The plan before the first cell, in words."""
        start = f"--budget {self._budget.text}, {duration(self._budget.report_s)} of it for the report"
        return f"{start}: {_plan_words(self._plan)}"

    def settle(self, job: Job) -> str:
        """Run the cells of the plan until the job has its record or is left out; why it was left out, else empty."""
        while job in self._waiting and self._plan.fitting:
            self._measure(self._plan.fitting[0].job)
        if job in self._run.records:
            return ""
        if job in self._waiting:
            self._waiting.remove(job)
            self._left_out.append(job)
        return f"{self._why(job)}; {self._advice()}"

    def summary(self) -> list[str]:
        """What was left out and why, in lines for people; empty if nothing was."""
        lines = []
        if self._left_out:
            names = _names(map(self._candidate, self._left_out))
            lines.append(f"left out, since they did not fit in --budget {self._budget.text}: {names}")
        lines += [f"{job.cell.title}: {self._why(job)}" for job in self._cut]
        return [*lines, self._advice()] if lines else []

    def _measure(self, job: Job) -> None:
        self._waiting.remove(job)
        seconds = self._budget.left_s
        if self._run.measure_within(job, self._progress, seconds) is None:
            self._cut[job] = seconds
        self._ended += job not in self._cut
        self._plan_anew({candidate.job for candidate in self._plan.fitting} - {job})

    def _plan_anew(self, planned: set[Job]) -> None:
        """Make a new plan, and print it if it holds other jobs than those that were planned."""
        self._plan = self._make_plan()
        if {candidate.job for candidate in self._plan.fitting} != planned:
            self._progress.print(f"planned anew: {_plan_words(self._plan)}")

    def _make_plan(self) -> Plan:
        done = Counter(job.cell.model for job in self._run.records)
        new = plan.make(map(self._candidate, self._waiting), self._budget.left_s, done)
        self._progress.plan([candidate.job.cell for candidate in new.fitting])
        return new

    def _candidate(self, job: Job) -> Candidate:
        estimates = self._progress.estimates
        return Candidate(job, estimates.seconds(job.cell), estimates.operations(job.cell))

    def _why(self, job: Job) -> str:
        text = f"--budget {self._budget.text}"
        if job in self._cut:
            return f"ended unfinished after {duration(self._cut[job])}, without a record, since {text} was over"
        return f"left out, since it did not fit in {text} ({_about(self._candidate(job).seconds)})"

    def _advice(self) -> str:
        """How to run what was left out; with the same budget only if each of it fits there, as far as is known."""
        seconds = [self._candidate(job).seconds or 0.0 for job in (*self._left_out, *self._cut)]
        more = not self._ended or max(seconds) > self._budget.cells_s
        return f"the same command with --resume {'and a longer --budget ' if more else ''}runs the rest"


def _plan_words(made: Plan) -> str:
    if not made.fitting:
        return f"no cell fits; not planned: {_names(made.left_out)}" if made.left_out else "no cell is left to run"
    if made.seconds is None:
        return (
            "how long cells take on this machine is not known yet; the cell of fewest operations runs first, and each "
            "one that ends gives a new plan"
        )
    number = len(made.fitting) + len(made.left_out)
    words = f"{len(made.fitting)} of {number} cells planned, {_about(made.seconds)}"
    return f"{words}; not planned: {_names(made.left_out)}" if made.left_out else words


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
