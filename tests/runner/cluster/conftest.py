"""A study of stand-in cells on a stand-in cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bcdl import backends, submit
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.runner import launch, supervisor
from bcdl.runner.cluster import follow, submission, task
from bcdl.runner.cluster.submission import Submission
from tests.faults import driver
from tests.in_process import InProcess, Said
from tests.runner.cluster.stand_in import StandIn

STUDY = """
data = "synthetic-48"
device = "cpu"
profile = "smoke"
image-size = 32

[[matrix]]
backends = ["torch"]
models = ["cnn"]
seed = [{seeds}]
"""


@dataclasses.dataclass
class OnCluster:
    """A study, and the cluster that it is handed to.

    Attributes:
        slurm: the stand-in for SLURM.
        folder: has all of it.
        file: the study's.
    """

    slurm: StandIn
    folder: Path
    in_process: InProcess

    @property
    def file(self) -> Path:
        return self.folder / "study.toml"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def write(self, seeds: int, text: str = STUDY) -> None:
        """Write the study's file: a cell for each of so many seeds."""
        self.file.write_text(text.format(seeds=", ".join(map(str, range(seeds)))), encoding="utf-8")

    def submit(self, *options: str) -> Said:
        """`bcdl submit --slurm` of the study."""
        return self.in_process(submit.main, "--slurm", self.file, "--results", self.results, *options)

    def run(self, index: int, job: int = -1) -> None:
        """Run a task in this process, which is sooner than by its script, and say in the queue how it ended."""
        made = self.slurm.jobs[job]
        folder, first = Path(made["script"]).parent, int(made["arguments"][0])
        variables = mock.patch.dict(os.environ, self.slurm.variables(index, job))
        words = mock.patch.object(sys, "argv", ["task", str(folder), str(first + index)])
        with variables, words, contextlib.redirect_stdout(io.StringIO()):
            code = task.main()
        self.slurm.end(index, "FAILED" if code else "COMPLETED", f"{code}:0", job)

    def run_all(self, job: int = -1) -> None:
        for index in self.slurm.states(job):
            self.run(index, job)

    @property
    def submissions(self) -> list[Submission]:
        return submission.all_of(self.results)

    def records(self) -> list[Record]:
        """All records, each of which can be read."""
        records, problems = store.read_all(self.results)
        assert problems == []
        return [record for _, record in records]

    def statuses(self) -> dict[int, str]:
        """The status of each cell by its seed; no cell has two records."""
        records = self.records()
        by_seed = {record.cell.seed: record.status for record in records}
        assert len(by_seed) == len(records)
        return by_seed

    def reason(self, seed: int) -> str:
        (record,) = (record for record in self.records() if record.cell.seed == seed)
        return record.reason


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in for SLURM, whose programs come before all others."""
    return StandIn.put(tmp_path / "slurm", monkeypatch)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that waits for nothing."""
    monkeypatch.setattr(follow, "_GRACE_S", 0.0)
    for name in ("_LEAST_PAUSE_S", "_MOST_PAUSE_S"):
        monkeypatch.setattr(follow, name, 0.01)
    monkeypatch.setattr(supervisor, "_POLL_S", 0.02)


@pytest.fixture
def on_cluster(
    tmp_path: Path, slurm: StandIn, in_process: InProcess, quick: None, monkeypatch: pytest.MonkeyPatch
) -> OnCluster:
    """A study of two cells, whose workers are stand-ins."""
    use(monkeypatch, driver.plan(tmp_path))
    made = OnCluster(slurm, tmp_path, in_process)
    made.write(seeds=2)
    return made


def use(patch: pytest.MonkeyPatch, plan: Path, **more: Any) -> None:
    """Have what is submitted run stand-ins by this plan."""
    patch.setattr(launch, "WORKER", driver.worker(plan))
    patch.setattr(backends, "is_installed", lambda name: True)
