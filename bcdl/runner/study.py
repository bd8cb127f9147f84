"""A study: the runs of several backends as one, with one id, one file of records, one folder of logs and one status."""

from __future__ import annotations

import math
from collections import ChainMap, Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path

from bcdl.errors import BcdlError
from bcdl.records import record
from bcdl.records.record import Record
from bcdl.runner.estimates import Estimates
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import STATUS_FILE, Run, check_all
from bcdl.settings.job import Job
from bcdl.settings.words import titles


class Study:
    """The cells of several runs on this machine, of one command.

    Args:
        runs: one for each backend; of one id, one results folder and one device.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)
        self._run_of = {job: run for run in runs for job in run.jobs}

    def check(self) -> list[str]:
        """Check all runs before the first cell, as `Run.check` does; notices for people."""
        return list(dict.fromkeys(check_all(self._runs)))

    @property
    def jobs(self) -> list[Job]:
        """The jobs of all runs, in their order."""
        return [job for run in self._runs for job in run.jobs]

    @property
    def left(self) -> list[Job]:
        """The jobs that have no record yet."""
        return [job for run in self._runs for job in run.left]

    @property
    def records(self) -> Mapping[Job, Record]:
        """The records of the jobs that have ended, or that had a record already."""
        return ChainMap(*(run.records for run in self._runs))

    @property
    def results(self) -> Path:
        """The results folder."""
        return self._runs[0].results

    @property
    def folder(self) -> Path:
        """The folder of the logs and the status."""
        return self._runs[0].folder

    def progress(self) -> RunProgress:
        """What shows the cells that are left, here and in the study's status; after `check`."""
        cells = [job.cell for job in self.left]
        estimates = Estimates.together([run.estimates() for run in self._runs])
        return RunProgress(
            console(), cells, self.folder / STATUS_FILE, estimates, titles(job.cell for job in self.jobs)
        )

    def measure_all(self, progress: RunProgress) -> None:
        """Run every job that is left, backend by backend; those that may share a worker do."""
        for together in _together(self.left):
            self.measure(together, progress)

    def measure(
        self,
        jobs: Sequence[Job],
        progress: RunProgress,
        *,
        allowed_s: Callable[[Job], float] = lambda job: math.inf,
    ) -> list[Record]:
        """Run the jobs, which may share a worker, and store their records, as `Run.measure` does."""
        return self._run_of[jobs[0]].measure(jobs, progress, allowed_s=allowed_s)


def _together(jobs: Iterable[Job]) -> list[list[Job]]:
    """The jobs, those that may share a worker together, in the order of the first of them."""
    by_process: dict[Hashable, list[Job]] = {}
    for job in jobs:
        by_process.setdefault(job.process_key, []).append(job)
    return list(by_process.values())


def exit_code(statuses: Counter[str]) -> int:
    """The exit code if every cell is ok of a study with so many records of each status.

    Raises:
        BcdlError: some are not; the message counts them.
    """
    others = statuses - Counter({record.OK: statuses[record.OK]})
    if others:
        counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in others.items())
        raise BcdlError(
            f"{others.total()} of {statuses.total()} cells are not ok ({counts}); the lines above say why, and the "
            "same command with --resume runs those again that may end otherwise"
        )
    return 0
