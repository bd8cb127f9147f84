"""A run: the cells of one command on one machine, checked before the first and recorded one by one."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from bcdl import datasets, machine, store
from bcdl.errors import UsageError
from bcdl.options import Job
from bcdl.plots import image_grid
from bcdl.record import Record

LOGS = Path("local") / "logs"  # under the results folder, outside what is committed


@dataclasses.dataclass
class Run:
    """The jobs of a command, where their records go, and the records so far.

    Attributes:
        jobs: in the order in which they run; all on one backend, device and data set.
        results: the results folder.
        id: of this run.
        records: of the jobs that have ended.
    """

    jobs: list[Job]
    results: Path
    id: str = dataclasses.field(default_factory=store.new_run_id)
    records: dict[Job, Record] = dataclasses.field(default_factory=dict)

    def check(self) -> list[str]:
        """Find out before the first cell what would fail every cell; what a person should know of the data.

        Raises UsageError where the results can't be written or the data can't be used.
        """
        store.check_writable(self.results)
        dataset = datasets.load(self.jobs[0].request)
        batch_size = self.jobs[0].cell.batch_size
        if batch_size > len(dataset.train):
            raise UsageError(f"--batch-size {batch_size} is more than the {len(dataset.train)} training images")
        if not dataset.synthetic:
            image_grid.draw_local(dataset, self.results)
        sizes = ", ".join(f"{len(part)} {name}" for name, part in dataset.splits.items())
        return [f"data set {dataset.name}: {sizes} images", *(f"note: {notice}" for notice in dataset.notices)]

    def keep(self, job: Job, record: Record) -> None:
        """Store the job's record; it is on the disk when this returns."""
        store.append(self.results, self._machine, record)
        self.records[job] = record

    @property
    def file(self) -> Path:
        """The file that holds the run's records."""
        return store.file_of(self.results, self._machine, self.id)

    def log(self, job: Job) -> Path:
        """The file that takes the output of the job's worker."""
        return self.results / LOGS / self.id / f"{job.cell.model}-{job.cell.backend}-seed{job.cell.seed}.log"

    @functools.cached_property
    def _machine(self) -> str:
        return machine.machine_name(self.jobs[0].cell.device)
