"""The sources of a report: what the logs of a results folder hold, and what could not be read.

A report that could not read something deletes nothing: a table may have been made from what it can't read. If a newer
bcdl wrote part of it, or if nothing at all could be read, the report that is there is better than a new one.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.parity import findings
from bcdl.parity.findings import Finding
from bcdl.records import archive, experiment, log, store
from bcdl.records.experiment import Experiment
from bcdl.records.log import Problem
from bcdl.records.record import Record


def check_given(results: Path) -> None:
    """UsageError if the folder that a person names has no records, since it is another one then."""
    if not (results / log.RECORDS).is_dir():
        raise UsageError(f"{results} holds no {log.RECORDS}/ folder; run a benchmark first or use --results")


@dataclasses.dataclass(frozen=True)
class Sources:
    """What the logs of a results folder hold, each entry with its machine, the oldest first.

    Attributes:
        records, findings, experiments: the entries that could be read.
        problems: what was not read, or not counted.
    """

    records: list[tuple[str, Record]]
    findings: list[tuple[str, Finding]]
    experiments: list[tuple[str, Experiment]]
    problems: list[Problem]

    @classmethod
    def read(cls, results: Path) -> Sources:
        """Everything under `results`; whatever lies there, this raises no error."""
        records, of_records = store.read_all(results)
        parity, of_parity = findings.read_findings(results)
        experiments, of_experiments = experiment.read_all(results)
        elsewhere = _elsewhere(log.RECORDS, records)
        return cls(records, parity, experiments, [*of_records, *of_parity, *of_experiments, *elsewhere])

    @property
    def unread(self) -> list[Problem]:
        """What could not be read and may be of bcdl, so that the report lacks it."""
        return [problem for problem in self.problems if problem.is_loss]

    @property
    def notices(self) -> list[str]:
        """What could not be read, and what counts once though it stands there several times, a line each."""
        return [problem.notice for problem in self.problems]

    @property
    def obstacle(self) -> str:
        """Why the report that is there is better than one from these sources; empty if it is not."""
        if any(problem.newer for problem in self.unread):
            return "a newer bcdl wrote some of them; update bcdl, then run the report again"
        if self.unread and not (self.records or self.findings or self.experiments):
            return f"nothing else is there; {_ADVICE}"
        return ""

    def failure(self, results: Path) -> str:
        """What was not done because something could not be read, and what to do; empty if all could be read."""
        if not self.unread:
            return ""
        count = len(self.unread)
        what = f"{count} {'line or file' if count == 1 else 'lines or files'} of {results} could not be read"
        if self.obstacle:
            return f"{what}, so that nothing was written or removed: {self.obstacle}"
        return f"{what}, so that nothing was removed: {_ADVICE}"


def _elsewhere(name: str, entries: Iterable[tuple[str, Record]]) -> list[Problem]:
    """A note for each folder of a log that has records which say that they are of another machine."""
    moved = Counter(machine for machine, entry in entries if hardware.is_of_another_machine(machine, entry.environment))
    return [
        Problem(f"{name}/{machine}", None, f"{count} lines {archive.ELSEWHERE}", foreign=True)
        for machine, count in sorted(moved.items())
    ]


_ADVICE = "restore them from a copy or move them out of the folder, then run the report again"
