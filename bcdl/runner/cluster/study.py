"""A study on a cluster: what of it is under way or measured already, and what is submitted now."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bcdl.errors import BcdlError
from bcdl.records import disk, store
from bcdl.records.moment import now
from bcdl.records.record import Record
from bcdl.runner.cluster import follow, resume, script, slurm
from bcdl.runner.cluster.follow import Watched
from bcdl.runner.cluster.script import Asked
from bcdl.runner.cluster.slurm import Site
from bcdl.runner.cluster.submission import SCRIPT, Array, Header, Submission, Task, in_arrays, in_order
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.run import Run
from bcdl.runner.stored import Marks
from bcdl.screen import say
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job


@dataclasses.dataclass
class ClusterStudy:
    """The cells of a study, and how they are handed to a cluster.

    Attributes:
        run: checks the data of all of them; its id is that of the run that the nodes share.
        by_backend: what runs the workers of each backend.
        site: the cluster.
        asked: what is asked of the scheduler.
        limits: the options of the limits of each cell's worker.
        resume: whether cells that are under way, or were measured already, are left out.
        notices: lines for people about what the file asks for.
        standing: the jobs that were measured already; filled by `go_on_and_submit`.
    """

    run: Run
    by_backend: Mapping[str, Interpreter]
    site: Site
    asked: Asked
    limits: Mapping[str, Any]
    resume: bool = False
    notices: Sequence[str] = ()
    standing: dict[Job, Record] = dataclasses.field(default_factory=dict)

    def go_on_and_submit(self, advice: str) -> list[Watched]:
        """Submit the cells that are missing; all tasks to be followed, those of earlier runs that go on included.

        Args:
            advice: what a person does to go on, if not all can be submitted.

        Raises:
            UsageError: SLURM would refuse the cells; nothing is submitted.
            BcdlError: SLURM refused some of them, or can't be asked.
        """
        under_way = follow.unfinished(self.run.results, {self.run.handed(job) for job in self.run.jobs})
        covered = {watched.task.job for watched in under_way}
        number = sum(self.run.handed(job) in covered for job in self.run.jobs)
        if not self.resume:
            if number:
                say(f"note: {number} of these cells are submitted already; --resume goes on with them")
            return self._submit(self.run.jobs, advice)
        left = [job for job in self.run.jobs if self.run.handed(job) not in covered]
        if number:
            say(f"resumed: {number} of {len(self.run.jobs)} cells are of runs on the cluster that are not over")
        self.standing, notes = resume.settled(self.run, left, self.by_backend)
        for line in notes:
            say(line)
        return under_way + self._submit([job for job in left if job not in self.standing], advice)

    def records(self, watched: Iterable[Watched]) -> list[tuple[str, Record]]:
        """The newest record of each cell with its machine, of those that were followed or measured before."""
        ids = {each.submission.id_of(each.index) for each in watched}
        ids |= {earlier.run for earlier in self.standing.values()}
        cells = {job.cell for job in self.run.jobs}
        newest: dict[Cell, tuple[str, Record]] = {}
        for machine, record in store.read_all(self.run.results)[0]:
            if record.run in ids and record.cell in cells:
                newest[record.cell] = machine, record
        return [newest[job.cell] for job in self.run.jobs if job.cell in newest]

    def cancelled_by(self, watched: Iterable[Watched]) -> str:
        """The command by which a person ends the tasks."""
        return slurm.lines_to_cancel(dict.fromkeys(each.place[0] for each in watched))

    def _submit(self, jobs: Sequence[Job], advice: str) -> list[Watched]:
        """Submit these jobs; their tasks."""
        if not jobs:
            return []
        tasks, marks = self._tasks(jobs)
        arrays = list(in_arrays(tasks, self.site.most_tasks))
        text = script.of_task(self.run.folder, self.asked.setup)
        script.check_syntax(text)
        with disk.writing(self.run.folder):
            disk.replace(self.run.folder / SCRIPT, text.encode("utf-8", "surrogateescape"))
        for kind in dict.fromkeys(task.kind for task in tasks):
            slurm.check(self.run.folder / SCRIPT, script.resources(*kind, self.asked))
        header = Header(
            run=self.run.id,
            count=len(tasks),
            cell_timeout=self.limits["cell_timeout"],
            memory_limit=self.limits["memory_limit"],
            worker=tuple(self.run.worker),
            seen=store.highest_count(self.run.results),
            submitted=now(),
        )
        submission = Submission.write(self.run.results, header, tasks, marks)
        submitted: list[Array] = []
        for array in arrays:
            submitted.append(self._submit_array(submission, array, tasks, submitted, advice))
        return follow.watched(submission, submitted, tasks)

    def _tasks(self, jobs: Sequence[Job]) -> tuple[list[Task], list[Marks]]:
        """A task for each job, those side by side that go into one array; and what is known of their data."""
        marks: dict[Any, int] = {}
        of_data: list[Marks] = []
        tasks = []
        for job in jobs:
            data = (job.request, job.keep_names)
            if data not in marks:
                marks[data] = len(of_data)
                of_data.append(self._marks(job))
            python = os.path.abspath(self.by_backend[job.cell.backend].python)
            tasks.append(Task(self.run.handed(job), python, marks[data]))
        return in_order(tasks), of_data

    def _marks(self, job: Job) -> Marks:
        marks = self.run.marks_of(job)
        if marks is None:
            raise BcdlError(f"the data of {job.cell.title} was not checked; this is a fault of bcdl: report it")
        return marks

    def _submit_array(
        self, submission: Submission, array: Array, tasks: Sequence[Task], before: Sequence[Array], advice: str
    ) -> Array:
        """Submit the array, after those `before`; it with the scheduler's id. BcdlError if SLURM refuses it."""
        submission.note(array)
        at_once = f"%{self.asked.at_once}" if self.asked.at_once else ""
        # No more run at once than are asked for, in however many arrays.
        after = [f"--dependency=afterany:{before[-1].job}"] if self.asked.at_once and before else []
        options = [
            f"--job-name={submission.name_of(array)}",
            f"--array=0-{array.count - 1}{at_once}",
            f"--chdir={submission.folder}",
            "--output=/dev/null",  # each task opens its own log
            *after,
            *script.resources(*tasks[array.first].kind, self.asked),
        ]
        try:
            job = slurm.submit(submission.folder / SCRIPT, options, str(array.first))
        except BcdlError as error:
            submission.note(dataclasses.replace(array, count=0))  # else its tasks would count as submitted for ever
            done = sum(each.count for each in before)
            raise BcdlError(
                f"SLURM took {done} of {submission.header.count} cells and refused the next {array.count}: {error}; "
                f"{advice}"
            ) from error
        submitted = dataclasses.replace(array, job=job)
        submission.note(submitted)
        say(f"submitted {array.count} cells as SLURM job {job}, {submission.name_of(array)}", flush=True)
        return submitted
