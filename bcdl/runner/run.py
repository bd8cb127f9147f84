"""A run: the cells of one command on one machine, checked before the first and recorded one by one."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from bcdl import datasets
from bcdl.datasets import LABELS, Dataset, Request, Split
from bcdl.datasets.duplicates import Duplicates
from bcdl.datasets.leaks import Leaks
from bcdl.errors import UsageError
from bcdl.machine import hardware, provenance
from bcdl.records import log, record, runs, store
from bcdl.records.comparability import Evidence, Purpose, differences
from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.runner.progress import RunProgress, Work, work_of
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits

# A cell that ended so is not run again by --resume: it would end so again.
SETTLED = (record.OK, record.SKIPPED, record.OUT_OF_MEMORY)
STATUS_FILE = "status.json"
_EXAMPLES = 20  # of each class and split: as many as a picture of the data shows


@dataclasses.dataclass
class Run:
    """The jobs of a command, the folder of their records, and the records so far.

    Attributes:
        jobs: in the order in which they run; all on one backend and device.
        results: the results folder.
        id: the id of this run.
        limits: the limits of each cell's worker.
        resume: whether jobs that have a record already, made by the same code in the same place, are left out.
        require_clean: whether data is refused if an image or a patient is on both sides of a split.
        worker: the interpreter's arguments that start a worker.
        records: the records of the jobs that have ended, or that had a record already.
        leaks: the images and patients on both sides of each split of the data; filled by `check`.
        examples: a few images of real data, for a picture of it after the cells have run; filled by `check`.
    """

    jobs: list[Job]
    results: Path
    id: str = dataclasses.field(default_factory=runs.new_run_id)
    limits: Limits = dataclasses.field(default_factory=Limits)
    resume: bool = False
    require_clean: bool = False
    worker: Sequence[str] = launch.WORKER
    records: dict[Job, Record] = dataclasses.field(default_factory=dict)
    leaks: dict[Request, Leaks] = dataclasses.field(default_factory=dict)
    examples: Dataset | None = None

    def check(self) -> list[str]:
        """Check before the first cell whether all could run; notices about logs and data, for people.

        Raises UsageError if the results can't be written or the data can't be used.
        """
        store.check_writable(self.results)
        self._alive = runs.claim(self.results, self.id)  # held as long as this process lives
        notes = log.repair(self.results)
        checksums: dict[Request, str] = {}
        duplicates: dict[Request, Duplicates] = {}
        for request in dict.fromkeys(job.request for job in self.jobs):
            dataset = datasets.load(request)
            checksums[request] = dataset.checksum
            notes += self._check_data(request, dataset)
            if (source := request.unsplit) not in duplicates:
                duplicates[source] = dataset.duplicates
            self.leaks[request] = dataset.leaks(duplicates[source])
            notes += [f"note: {notice}" for notice in self.leaks[request].notices()]
            if self.require_clean and not self.leaks[request].clean:
                leaks = "; ".join(self.leaks[request].notices())
                raise UsageError(f"--require-clean: data set {dataset.name} leaks: {leaks}")
        if self.resume:
            notes += self._resume(checksums)
        return list(dict.fromkeys(notes))

    def _check_data(self, request: Request, dataset: Dataset) -> list[str]:
        """Notices about one split of the data, for people; UsageError if a model can't be trained on it."""
        batch_size = max(job.cell.batch_size for job in self.jobs if job.request == request)
        if batch_size > len(dataset.train):
            raise UsageError(f"--batch-size {batch_size} is more than the {len(dataset.train)} training images")
        if not (dataset.synthetic or self.examples):
            self.examples = _examples(dataset)
        sizes = ", ".join(f"{len(part)} {name}" for name, part in dataset.splits.items())
        return [f"data set {dataset.name}: {sizes} images", *(f"note: {notice}" for notice in dataset.notices)]

    def measure(
        self, job: Job, progress: RunProgress, interpreter: str = sys.executable, block: str = "", side: str = ""
    ) -> Record:
        """Run the job in a worker and store its record, which is on the disk when this returns."""
        with progress.cell(job.cell) as shown:
            outcome = launch.run(job, self.id, self.log(job), shown.phase, interpreter, self.limits, self.worker)
            outcome = dataclasses.replace(outcome, block=block, side=side)
            self.keep(job, outcome)
            shown.finish(outcome)
        return outcome

    def keep(self, job: Job, outcome: Record) -> None:
        """Store the job's record, marked with the leaks of its data; it is on the disk when this returns."""
        if outcome.dataset and job.request in self.leaks:
            facts = {**outcome.dataset, "leaks": self.leaks[job.request].facts()}
            outcome = dataclasses.replace(outcome, dataset=facts)
        store.append(self.results, self._machine, outcome)
        self.records[job] = outcome

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
        """The file that takes the output of the job's worker."""
        return self.folder / f"{job.cell.stem}.log"

    def seconds_of_earlier(self) -> dict[Work, float]:
        """Seconds that cells took when they last ran on this machine as it is now, by their work."""
        return {
            work_of(earlier.cell): _seconds(earlier)
            for earlier in self._earlier()
            if earlier.ok and not self._changes(earlier, Purpose.DURATION)
        }

    def _resume(self, checksums: Mapping[Request, str]) -> list[str]:
        """Leave out the jobs whose newest record is still valid; notices about that, for people."""
        records, problems = store.read_all(self.results)
        newest = {earlier.cell: earlier for earlier in self._of_this_machine(records) if not earlier.block}
        unread = [f"not read, and so not resumed from: {problem}" for problem in problems if not problem.foreign]
        changed: Counter[str] = Counter()
        for job in self.jobs:
            earlier = newest.get(job.cell)
            if not earlier or earlier.status not in SETTLED:
                continue
            facts = self._changes(earlier, Purpose.RESUME, job, checksums[job.request])
            if facts:
                changed[" and another ".join(facts)] += 1
            else:
                self.records[job] = earlier
        number = len(self.jobs)
        again = [
            f"{count} of {number} cells run again: their records were made with another {facts}"
            for facts, count in changed.items()
        ]
        return [f"resumed: {len(self.records)} of {number} cells have their record already", *again, *unread]

    def _changes(self, earlier: Record, purpose: Purpose, job: Job | None = None, checksum: str = "") -> list[str]:
        """Names of the facts in which an earlier record of this machine differs from one that would be made now."""
        now = Evidence(
            earlier.cell.to_dict(),
            environment={**self._hardware, "code": provenance.digest(job.cell.backend) if job else None},
            weights={"sha256": provenance.sha256(job.weights_file)} if job and job.weights_file else {},
            # The record of a cell that failed before it had loaded its data has no checksum.
            dataset={"checksum": checksum} if earlier.dataset else {},
        )
        return [difference.fact for difference in differences(Evidence.of(earlier), now, purpose)]

    def _earlier(self) -> Iterator[Record]:
        """The records of this machine so far, oldest run first."""
        records, _ = store.read_all(self.results)
        return self._of_this_machine(records)

    def _of_this_machine(self, records: Iterable[tuple[str, Record]]) -> Iterator[Record]:
        return (earlier for machine, earlier in records if machine == self._machine)

    @functools.cached_property
    def _hardware(self) -> dict[str, Any]:
        return hardware.describe(self.jobs[0].cell.device)

    @functools.cached_property
    def _machine(self) -> str:
        return hardware.machine_name(self.jobs[0].cell.device)


def _examples(dataset: Dataset) -> Dataset:
    """The data set with only the first images of each class and split, so that a run does not keep all in memory."""

    def few(part: Split) -> Split:
        chosen = [place for label in LABELS.values() for place in np.flatnonzero(part.labels == label)[:_EXAMPLES]]
        return Split(part.images[chosen], part.labels[chosen], part.groups[chosen], part.names[chosen])

    return dataclasses.replace(
        dataset, train=few(dataset.train), val=few(dataset.val), test=few(dataset.test), fingerprints=None
    )


def _seconds(record: Record) -> float:
    """Seconds from the record's start to its end; 0 if it does not give both."""
    try:
        return (datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)).total_seconds()
    except ValueError:
        return 0.0
