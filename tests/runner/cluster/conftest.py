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
from bcdl.runner import launch, supervisor
from bcdl.runner.cluster import follow, submission, task
from bcdl.runner.cluster.submission import Submission
from tests.cluster_study import ClusterStudy
from tests.faults import driver
from tests.in_process import InProcess, Said
from tests.runner.cluster.stand_in import StandIn


@dataclasses.dataclass
class OnCluster(ClusterStudy):
    """A study, and the cluster that it is handed to.

    Attributes:
        slurm: the stand-in for SLURM.
        folder: has the study's file, and the results.
    """

    slurm: StandIn
    folder: Path
    in_process: InProcess

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
    made.write_file(seeds=2)
    return made


def use(patch: pytest.MonkeyPatch, plan: Path, **more: Any) -> None:
    """Have what is submitted run stand-ins by this plan."""
    patch.setattr(launch, "WORKER", driver.worker(plan))
    patch.setattr(backends, "is_installed", lambda name: True)
