"""A run: the cells of one command on one machine, checked before the first and recorded one by one."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bcdl import datasets
from bcdl.datasets import Dataset, Request
from bcdl.datasets.leaks import Duplicates, Leaks
from bcdl.errors import UsageError
from bcdl.machine import hardware, provenance
from bcdl.records import log, record, runs, store
from bcdl.records.record import Record
from bcdl.report.plots import image_grid
from bcdl.runner import launch
from bcdl.runner.progress import RunProgress, same_work
from bcdl.settings.job import Job
from bcdl.settings.limits import Limits

# A cell that ended so is not run again by --resume: it would end so again.
SETTLED = (record.OK, record.SKIPPED, record.OUT_OF_MEMORY)
_HARDWARE = ("cpu", "cpu_cores", "gpus", "driver", "python", "versions")
STATUS_FILE = "status.json"


@dataclasses.dataclass
class Run:
    """The jobs of a command, where their records go, and the records so far.

    Attributes:
        jobs: in the order in which they run; all on one backend, device and data set, of which splits may differ.
        results: the results folder.
        id: of this run.
        limits: of each cell's worker.
        resume: whether jobs that have a record already, made by the same code in the same place, are left out.
        require_clean: whether data of which something stands on both sides of a split is refused.
        worker: the interpreter's arguments that start a worker.
        records: of the jobs that have ended, or that had a record.
        leaks: what stands on both sides of each split of the data, once it is checked.
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

    def check(self) -> list[str]:
        """Find out before the first cell what would fail every cell; what a person should know of the data.

        Raises UsageError where the results can't be written or the data can't be used.
        """
        store.check_writable(self.results)
        self._alive = runs.claim(self.results, self.id)  # held as long as this process lives
        notes = log.repair(self.results)
        checksums: dict[Request, str] = {}
        duplicates: Duplicates | None = None
        for request in dict.fromkeys(job.request for job in self.jobs):
            dataset = datasets.load(request)
            checksums[request] = dataset.checksum
            notes += self._check_data(dataset)
            duplicates = duplicates or dataset.duplicates  # the same in every split
            self.leaks[request] = dataset.leaks(duplicates)
            notes += [f"note: {notice}" for notice in self.leaks[request].notices()]
            if self.require_clean and not self.leaks[request].clean:
                told = "; ".join(self.leaks[request].notices())
                raise UsageError(f"--require-clean: data set {dataset.name} leaks: {told}")
        if self.resume:
            self.records.update(self._settled(checksums))
            notes.append(f"resumed: {len(self.records)} of {len(self.jobs)} cells have their record already")
        return list(dict.fromkeys(notes))

    def _check_data(self, dataset: Dataset) -> list[str]:
        """What a person should know of one split of the data; UsageError where it can't be trained on."""
        batch_size = self.jobs[0].cell.batch_size
        if batch_size > len(dataset.train):
            raise UsageError(f"--batch-size {batch_size} is more than the {len(dataset.train)} training images")
        if not dataset.synthetic:
            image_grid.draw_local(dataset, self.results)
        sizes = ", ".join(f"{len(part)} {name}" for name, part in dataset.splits.items())
        return [f"data set {dataset.name}: {sizes} images", *(f"note: {notice}" for notice in dataset.notices)]

    def measure(
        self, job: Job, progress: RunProgress, interpreter: str = sys.executable, block: str = "", side: str = ""
    ) -> Record:
        """Run the job in a worker and store its record, which is on the disk when this returns."""
        with progress.cell(job.cell) as shown:
            found = launch.run(job, self.id, self.log(job), shown.phase, interpreter, self.limits, self.worker)
            found = dataclasses.replace(found, block=block, side=side)
            self.keep(job, found)
            shown.finish(found)
        return found

    def keep(self, job: Job, found: Record) -> None:
        """Store the job's record, marked with the leaks of its data; it is on the disk when this returns."""
        if found.dataset and job.request in self.leaks:
            facts = {**found.dataset, "leaks": self.leaks[job.request].facts()}
            found = dataclasses.replace(found, dataset=facts)
        store.append(self.results, self._machine, found)
        self.records[job] = found

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
        """Where the run's logs and status lie."""
        return runs.folder_of(self.results, self.id)

    def log(self, job: Job) -> Path:
        """The file that takes the output of the job's worker."""
        return self.folder / f"{job.cell.stem}.log"

    def seconds_of_earlier(self) -> dict[str, float]:
        """How long cells took when they were last run on this machine, by `same_work`."""
        return {same_work(one.cell): _seconds(one) for one in self._earlier() if one.ok}

    def _settled(self, checksums: Mapping[datasets.Request, str]) -> Iterator[tuple[Job, Record]]:
        """The jobs that need not run, each with its newest record that stands for it."""
        newest = {one.cell: one for one in self._earlier() if not one.block}
        for job in self.jobs:
            found = newest.get(job.cell)
            if not found or found.status not in SETTLED:
                continue
            if _circumstances(found) == self._circumstances_of(job, found, checksums[job.request]):
                yield job, found

    def _circumstances_of(self, job: Job, found: Record, checksum: str) -> dict[str, Any]:
        """What a record of the job made now would say of data, weights, code and machine."""
        described = hardware.describe(job.cell.device)
        return {
            **{key: described[key] for key in _HARDWARE},
            "code": provenance.digest(job.cell.backend),
            "weights": provenance.sha256(job.weights_file) if job.weights_file else None,
            # A cell that failed before it had loaded its data knows none.
            "checksum": checksum if found.dataset else None,
        }

    def _earlier(self) -> Iterator[Record]:
        """The records of this machine so far, oldest run first."""
        records, _ = store.read_all(self.results)
        return (one for name, one in records if name == self._machine)

    @functools.cached_property
    def _machine(self) -> str:
        return hardware.machine_name(self.jobs[0].cell.device)


def _circumstances(found: Record) -> dict[str, Any]:
    return {
        **{key: found.environment.get(key) for key in (*_HARDWARE, "code")},
        "weights": found.weights.get("sha256"),
        "checksum": found.dataset.get("checksum"),
    }


def _seconds(found: Record) -> float:
    try:
        return (datetime.fromisoformat(found.ended) - datetime.fromisoformat(found.started)).total_seconds()
    except ValueError:
        return 0.0
