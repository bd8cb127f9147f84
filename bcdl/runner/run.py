"""A run: the cells of one command on one machine, checked before the first and recorded one by one."""

from __future__ import annotations

import dataclasses
import functools
import math
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from bcdl import datasets, interrupts
from bcdl.datasets import Dataset, Pool, Request
from bcdl.datasets.duplicates import Duplicates
from bcdl.datasets.handover import Handover
from bcdl.datasets.leaks import Leaks
from bcdl.datasets.pool import GROUPS_FILE
from bcdl.datasets.private import Private
from bcdl.errors import UsageError
from bcdl.machine import environment, hardware, provenance, scheduler, scratch
from bcdl.records import log, moment, record, runs, store
from bcdl.records.claims import Claim
from bcdl.records.comparability import Evidence, Purpose, differences, is_warm
from bcdl.records.log import Problem
from bcdl.records.record import Record
from bcdl.runner import data_picture, launch, stored
from bcdl.runner.estimates import Estimates, Took
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.progress import RunProgress
from bcdl.runner.stored import Marks
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits
from bcdl.text import legible

# A cell that ended so is not run again by --resume: it would end so again.
SETTLED = (record.OK, record.SKIPPED, record.OUT_OF_MEMORY, record.DIVERGED)
STATUS_FILE = "status.json"
_DATA = "data"  # in the folder of a run, as long as it lives


@dataclasses.dataclass
class Run:
    """The jobs of a command, the folder of their records, and the records so far.

    Attributes:
        jobs: in the order in which they run; all on one device.
        results: the results folder.
        id: the id of this run; the runs of one command, each of other jobs, may have one together.
        limits: the limits of each cell's worker.
        resume: whether jobs that have a record already, made by the same code in the same place, are left out.
        require_clean: whether data is refused if an image or a patient is on both sides of a split, or if a patient
            could be, since not all are known.
        worker: the interpreter's arguments that start a worker.
        interpreter: runs the workers.
        records: the records of the jobs that have ended, or that had a record already.
        name: what tells its cells from those of other runs of the command, in words that follow `cells`; else empty.
        hands_over: whether workers get the data that was read here; if not, each reads it itself, as its own code does.
        leaks: the images and patients on both sides of each split of the data; filled by `check`.
        private: hides the names of images and patients, unless they are public; filled by `check`.
        training_images: how many there are in each split of the data; filled by `check`.
        grey_bits: depth by which grey images of more than 8 bits are read, 0 if there are none; filled by `check`.
        checksums: of each split of the data; filled by `check`.
        weights: the checksum of each file of weights; filled by `check`.
        behind_s: by how many seconds the time of day is behind the end of an earlier record; filled by `check`.
        marks: what another process found of the data of each job, if it checked them in place of this one.
        seen: the highest count of a record that it saw in the results folder; None if this run looks itself.
    """

    jobs: list[Job]
    results: Path
    id: str = dataclasses.field(default_factory=runs.new_run_id)
    limits: Limits = dataclasses.field(default_factory=Limits)
    resume: bool = False
    require_clean: bool = False
    worker: Sequence[str] = launch.WORKER
    interpreter: Interpreter = launch.THIS
    name: str = ""
    hands_over: bool = True
    records: dict[Job, Record] = dataclasses.field(default_factory=dict)
    leaks: dict[Request, Leaks] = dataclasses.field(default_factory=dict)
    private: dict[Request, Private | None] = dataclasses.field(default_factory=dict)
    training_images: dict[Request, int] = dataclasses.field(default_factory=dict)
    grey_bits: dict[Request, int] = dataclasses.field(default_factory=dict)
    checksums: dict[Request, str] = dataclasses.field(default_factory=dict)
    weights: dict[str, str] = dataclasses.field(default_factory=dict)
    behind_s: float = 0.0
    marks: dict[Job, Marks] = dataclasses.field(default_factory=dict)
    seen: int | None = None

    def begin(self, claim: Claim | None = None) -> None:
        """Claim the run's files, unless there is a claim already; all that jobs need which another process has checked.

        Raises:
            UsageError: the results can't be written, or the run is taken.
        """
        provenance.take()
        store.check_writable(self.results)
        self._alive = claim or runs.claim(self.results, self.id)  # held as long as this process lives
        scratch.also_in(self.results / runs.LOCAL)

    def check(self, first: Run | None = None) -> list[str]:
        """Check before the first cell whether all could run, and draw the data; notices about both, for people.

        Args:
            first: a run of this command that was checked before: data that the workers of both get is handed over
                once, and if both have one id, it is claimed once.

        Raises:
            UsageError: the results can't be written, or the data can't be used.
        """
        self.begin(first._alive if first and first.id == self.id else None)
        self._remove_what_dead_runs_left()
        self._handover: Handover = first._handover if first else Handover((self.folder / _DATA).resolve())
        notes = [*log.repair(self.results), *environment.notices(self.jobs[0].cell.device), *self._check_clock()]
        self.weights = {file: _weights_checksum(file) for job in self.jobs if (file := job.weights_file)}
        duplicates: dict[Request, Duplicates] = {}
        pictures: dict[Request, tuple[Dataset, Path]] = {}
        read = functools.lru_cache(maxsize=1)(datasets.read_pool)
        for request in dict.fromkeys(job.request for job in self.jobs):
            pool = read(request.unsplit)
            notes += self._hand_over(request, pool)
            dataset = datasets.split_pool(pool, request)
            self.checksums[request], self.private[request] = dataset.checksum, dataset.private
            self.training_images[request] = len(dataset.train)
            self.grey_bits[request] = dataset.facts.get("grey_bits", 0)
            notes += self._check_data(request, dataset)
            if (source := request.unsplit) not in duplicates:  # the same in every split
                duplicates[source] = dataset.duplicates
            self.leaks[request] = dataset.leaks(duplicates[source])
            notes += [f"note: {notice}" for notice in self.leaks[request].notices()]
            if self.require_clean:
                _require_clean(legible(dataset.name), self.leaks[request])
            if source not in pictures:  # one is enough for all its splits
                picture = data_picture.file_of(dataset.name, dataset.checksum, self.results)
                pictures[source] = data_picture.few(dataset), picture
        notes += [data_picture.save(shown, picture) for shown, picture in pictures.values()]
        if self.resume:
            notes += self._resume()
        return list(dict.fromkeys(notes))

    def _check_clock(self) -> list[str]:
        """A notice if the time of day is behind a record of this machine: then it was set back, or was ahead before."""
        late = max(self._earlier(), key=lambda earlier: moment.behind_s(earlier.ended), default=None)
        self.behind_s = moment.behind_s(late.ended) if late else 0.0
        if not late or not self.behind_s:
            return []
        return [
            f"note: the clock is {self.behind_s:.0f} s behind the end of a record of run {late.run}: it jumped back "
            "since, was ahead then, or differs from another host's; the newest record is known by its count, not by "
            "the clock"
        ]

    def handed(self, job: Job) -> Job:
        """The job as a worker gets it: with the place of the images that were read, and what it must find there."""
        if job in self.marks:
            return job
        return dataclasses.replace(
            job,
            pool=self._handover.place_of(job.request),
            data_checksum=self.checksums[job.request],
            weights_checksum=self.weights.get(job.weights_file or "", ""),
        )

    def _remove_what_dead_runs_left(self) -> None:
        """Remove the images of runs that were killed before they could, and what their workers exchanged with them.

        Of runs of other hosts, after a day.
        """
        for folder in (self.results / runs.RUNS).glob("*/*"):
            is_left = folder.name == _DATA or folder.name.startswith(launch.EXCHANGE)
            if is_left and runs.is_forgotten(self.results, folder.parent.name):
                shutil.rmtree(folder, ignore_errors=True)

    def _hand_over(self, request: Request, pool: Pool) -> list[str]:
        """Put the pool where workers find it; a notice if there is no room, so that each reads the data itself."""
        if not self.hands_over:
            return []
        try:
            self._handover.put(request, pool)
        except OSError as error:
            return [f"note: each worker reads the data anew, since there is no room for it ({error.strerror or error})"]
        return []

    def _check_data(self, request: Request, dataset: Dataset) -> list[str]:
        """Notices about one split of the data, for people; UsageError if a model can't be trained on it."""
        batch_size = max(job.cell.batch_size for job in self.jobs if job.request == request)
        if batch_size > len(dataset.train):
            raise UsageError(f"--batch-size {batch_size} is more than the {len(dataset.train)} training images")
        sizes = ", ".join(f"{len(part)} {name}" for name, part in dataset.splits.items())
        return [f"data set {legible(dataset.name)}: {sizes} images", *(f"note: {notice}" for notice in dataset.notices)]

    def measure(
        self,
        jobs: Sequence[Job],
        progress: RunProgress,
        block: str = "",
        side: str = "",
        allowed_s: Callable[[Job], float] = lambda job: math.inf,
    ) -> list[Record]:
        """Run the jobs, of one `process_key`, and store their records, which are on the disk when this returns.

        They share a worker. After a job that is not ok, those left have a new one; so has the job itself if memory ran
        out and others had run before it, since it may be they that took it.

        Args:
            jobs: the jobs, in order.
            progress: shows them.
            block: as in `Record`.
            side: as in `Record`.
            allowed_s: called before each job, gives the seconds that all allow it. A job that has not ended by then is
                ended and has no record; one that is allowed none is not begun, nor are those after it.
        """
        left = list(jobs)
        while left:
            handed = [self.handed(job) for job in left]
            with launch.started(
                handed, self.id, self.log(left[0]), self.interpreter, self.limits, self.worker
            ) as worker:
                while worker.goes_on and left:
                    job = left.pop(0)
                    ended = self._measure_next(worker, job, progress, block, side, allowed_s(job))
                    left = {"kept": left, "again": [job, *left], "no time": []}[ended]
        return [self.records[job] for job in jobs if job in self.records]

    def _measure_next(
        self, worker: launch.Worker, job: Job, progress: RunProgress, block: str, side: str, seconds: float
    ) -> Literal["kept", "again", "no time"]:
        """Wait for the worker's next record, which is that of the job, and store it, unless it must run again."""
        if seconds <= 0:
            return "no time"
        # What the worker has measured is stored, whenever it is interrupted.
        with progress.cell(job.cell) as shown, interrupts.held():
            outcome = dataclasses.replace(worker.record_of_next(shown.phase, seconds), block=block, side=side)
            if outcome.status == record.TIMED_OUT and self.limits.within(seconds) != self.limits:
                shown.cut()
                return "no time"
            if outcome.status == record.OUT_OF_MEMORY and _cells_before(outcome):
                shown.again("memory ran out in a process that had run other cells before")
                return "again"
            self.keep(job, outcome)
            shown.finish(outcome, worker.log)
        return "kept"

    def together(self, job: Job, wanted: Collection[Job]) -> list[Job]:
        """The job, and those of the `wanted` ones that have no record yet and may share its worker."""
        return [other for other in self.left if other in wanted and other.process_key == job.process_key]

    def keep(self, job: Job, outcome: Record) -> None:
        """Store the job's record, marked with the leaks of its data; it is on the disk when this returns.

        Names of images and patients are hashed, unless they are public or the job keeps them.
        """
        outcome = stored.marked(outcome, job, self.results, self.marks_of(job))
        facts = {**outcome.environment, **scheduler.facts()}
        if self.behind_s:
            facts["clock"] = {**facts.get("clock", {}), "behind_s": round(self.behind_s, 3)}
        outcome = dataclasses.replace(outcome, environment=facts)
        store.append(self.results, self._machine, outcome, self.seen)
        self.records[job] = outcome

    def marks_of(self, job: Job) -> Marks | None:
        """What is known of the job's data; None if nobody has checked it."""
        if job in self.marks or job.request not in self.leaks:
            return self.marks.get(job)
        private = None if job.keep_names else self.private.get(job.request)
        return Marks.of(self.checksums[job.request], self.leaks[job.request], private)

    @property
    def left(self) -> list[Job]:
        """The jobs that have no record yet."""
        return [job for job in self.jobs if job not in self.records]

    @property
    def file(self) -> Path:
        """The file that holds the run's records."""
        return store.file_of(self.results, self._machine, self.id)

    @property
    def folder(self) -> Path:
        """The folder of the run's logs and status."""
        return runs.folder_of(self.results, self.id)

    def log(self, job: Job) -> Path:
        """The file that takes the output of the worker whose first job this is: that of no other job of the run."""
        return self.folder / f"{job.cell.stem}{self._numbers[job]}.log"

    @functools.cached_property
    def _numbers(self) -> dict[Job, str]:
        """What tells jobs apart whose cells have one stem: nothing for the first, then `-2`, `-3` and so on."""
        numbers: dict[Job, str] = {}
        seen: Counter[str] = Counter()
        for job in self.jobs:
            seen[job.cell.stem] += 1
            numbers[job] = f"-{seen[job.cell.stem]}" if seen[job.cell.stem] > 1 else ""
        return numbers

    def estimates(self) -> Estimates:
        """Of how long cells take, from those that ran on this machine as it is now; after `check`."""
        earlier = [
            Took(earlier.cell, earlier.dataset["images"]["train"], seconds_of(earlier))
            for earlier in self._earlier()
            # A cell that ran after others in its process was spared what it takes to start, and so was a warm one.
            if earlier.ok and not _cells_before(earlier) and seconds_of(earlier) > 0
            if not self._changes(earlier, Purpose.DURATION)
            and (not is_warm(Evidence.of(earlier)) or self._will_be_warm(earlier))
        ]
        return Estimates(earlier, {job.cell: self.training_images[job.request] for job in self.jobs})

    def _will_be_warm(self, earlier: Record) -> bool:
        """Whether a cell like a warm one of earlier would be warm now, too, as far as is known."""
        return not any(job.cold for job in self.jobs) and not self._changes(earlier, Purpose.COMPILED)

    def _resume(self) -> list[str]:
        """Leave out the jobs that have a valid record; notices about that, for people."""
        records, problems = store.read_all(self.results)
        unblocked = [(machine, each) for machine, each in records if not each.block]
        here = {each.cell: each for machine, each in unblocked if machine == self._machine}
        standing, _ = still_valid(self.jobs, here, self.changes)
        self.records.update(standing)
        taken = self._of_other_machines(unblocked)
        elsewhere = {each.cell: each for _, each in unblocked if _may_stand_elsewhere(each)}
        _, changed = still_valid(self.left, {**elsewhere, **here}, self.changes)
        timed = {job.cell for job in self.jobs if job.cell.timing}
        left_out = sorted({machine for machine, each in records if machine != self._machine and each.cell in timed})
        cells = f"{len(self.jobs)} cells{self.name}"
        not_of_others = "not resumed from records of another machine, other cores or no known identity"
        return [
            f"resumed: {len(self.records)} of {cells} have their record already",
            *(f"resumed from records of {machine}, of accuracy alone: {count}" for machine, count in taken.items()),
            *run_again(changed, cells),
            *([f"{not_of_others}: {', '.join(left_out)}"] if left_out else []),
            *not_resumed_from(problems),
        ]

    def _of_other_machines(self, records: Sequence[tuple[str, Record]]) -> dict[str, int]:
        """Leave out jobs that measure no speed and have a valid record of another machine; how many, by machine."""
        taken: dict[str, int] = {}
        for other in sorted({machine for machine, _ in records if machine != self._machine}):
            there = {each.cell: each for machine, each in records if machine == other and _may_stand_elsewhere(each)}
            standing, _ = still_valid(self.left, there, self.changes)
            self.records.update(standing)
            taken |= {other: len(standing)} if standing else {}
        return taken

    def changes(self, earlier: Record, job: Job) -> list[str]:
        """Names of the facts in which the earlier record differs from the one that the job would leave now."""
        return self._changes(earlier, Purpose.RESUME, job, self.checksums[job.request])

    def _changes(self, earlier: Record, purpose: Purpose, job: Job | None = None, checksum: str = "") -> list[str]:
        """Names of the facts in which an earlier record of this machine differs from one that would be made now."""
        now = Evidence(
            earlier.cell.to_dict(),
            environment={"code": provenance.digest(earlier.cell.backend), **self._hardware},
            weights={"sha256": provenance.sha256(job.weights_file)} if job and job.weights_file else {},
            # The record of a cell that failed before it had loaded its data has no checksum.
            dataset={"checksum": checksum} if earlier.dataset else {},
        )
        return [difference.fact for difference in differences(Evidence.of(earlier), now, purpose)]

    def _earlier(self) -> Iterator[Record]:
        """The records of this machine so far, oldest first."""
        records, _ = store.read_all(self.results)
        return (earlier for machine, earlier in records if machine == self._machine)

    @functools.cached_property
    def _hardware(self) -> dict[str, Any]:
        return {**hardware.describe(self.jobs[0].cell.device), **self.interpreter.facts}

    @functools.cached_property
    def _machine(self) -> str:
        return hardware.machine_name(self.jobs[0].cell.device)


def _may_stand_elsewhere(earlier: Record) -> bool:
    """Whether a record may stand for its cell on another machine: if it says how good a model is, and no more.

    What one machine has no memory or no arithmetic for, another may have.
    """
    return not earlier.cell.timing and earlier.has_ended


def check_all(runs_of_command: Sequence[Run]) -> list[str]:
    """Check the runs of one command, as `Run.check` does; what the first one reads is handed to the workers of all."""
    first, *others = runs_of_command
    return [*first.check(), *(line for run in others for line in run.check(first))]


def still_valid(
    jobs: Iterable[Job],
    newest: Mapping[Cell, Record],
    changes: Callable[[Record, Job], list[str]],
    settled: Collection[str] = SETTLED,
) -> tuple[dict[Job, Record], Counter[str]]:
    """The jobs whose newest record stands, with it; and of how many others it does not, by the facts that differ.

    Args:
        jobs: what is asked for.
        newest: the newest record of each cell.
        changes: gives names of the facts in which a record differs from the one that the job would leave now.
        settled: statuses of records that need not come again.
    """
    standing: dict[Job, Record] = {}
    changed: Counter[str] = Counter()
    for job in jobs:
        earlier = newest.get(job.cell)
        if earlier is None or earlier.status not in settled:
            continue
        facts = changes(earlier, job)
        facts += ["compilation cache (--cold)"] if job.cold and is_warm(Evidence.of(earlier)) else []
        if facts:
            changed[" and ".join(facts)] += 1
        else:
            standing[job] = earlier
    return standing, changed


def run_again(changed: Mapping[str, int], cells: str) -> list[str]:
    """Lines that say of how many of `cells`, in words, the records do not stand, and why."""
    return [
        f"{count} of {cells} run again: their records differ from what is asked now in {facts}"
        for facts, count in changed.items()
    ]


def not_resumed_from(problems: Iterable[Problem]) -> list[str]:
    """Lines that say which records of ours could not be read, so that their cells run again."""
    return [
        f"not read, and so not resumed from: {problem}" if problem.is_loss else problem.notice
        for problem in problems
        if not problem.foreign
    ]


def _cells_before(outcome: Record) -> int:
    """How many cells had run in the record's process before."""
    return int(outcome.environment.get("process", {}).get("cells_before", 0))


def _require_clean(name: str, leaks: Leaks) -> None:
    """Raise UsageError if the data set leaks, or if it can't be told whether a patient is on both sides."""
    if not leaks.clean:
        raise UsageError(f"--require-clean: data set {name} leaks: {'; '.join(leaks.notices())}")
    if leaks.ungrouped:
        raise UsageError(
            f"--require-clean: data set {name}: patients are not known for {leaks.ungrouped} of {leaks.images} images, "
            f"so that nobody can tell whether one is in two splits; give each image a group in {GROUPS_FILE}, or leave "
            "--require-clean out: what can be found is reported in any case"
        )


def _weights_checksum(file: str) -> str:
    try:
        return provenance.sha256(file)
    except OSError as error:
        raise UsageError(f"--weights: {Path(file).name} can't be read ({error.strerror})") from error


def seconds_of(record: Record) -> float:
    """Seconds that the record's cell took; 0 if it does not say."""
    try:
        whole = datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)
    except ValueError:
        return 0.0
    return sum(record.phases.values()) or whole.total_seconds()
