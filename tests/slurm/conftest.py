"""The two-node SLURM that these tests run on, and studies of stand-in cells on it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bcdl.runner.cluster import slurm as programs
from bcdl.runner.cluster import submission
from bcdl.runner.cluster.slurm import State
from bcdl.runner.cluster.submission import Submission
from benchmarks import two_nodes
from benchmarks.two_nodes import TwoNodes
from tests.cluster_study import ClusterStudy
from tests.conftest import ROOT
from tests.faults import driver

_PATIENCE_S = 240.0


@pytest.fixture(scope="session")
def cluster() -> Iterator[TwoNodes]:
    """The cluster, which all tests share; they are skipped, saying so, if this machine lacks its programs."""
    if missing := two_nodes.missing():
        pytest.skip(f"this machine lacks {', '.join(missing)}: {two_nodes.HOW_TO_GET}")
    with two_nodes.running() as running:
        yield running


@dataclasses.dataclass
class OnNodes(ClusterStudy):
    """A study of stand-in cells on the two nodes.

    Attributes:
        cluster: the cluster.
        folder: has the study's file, what its workers do, and the results.
    """

    cluster: TwoNodes
    folder: Path

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    def write(self, seeds: int, seconds: float = 0.0, at: dict[int, str] | None = None) -> None:
        """Write the study's file, of a cell for each of so many seeds, and what becomes of the cells of some."""
        driver.plan(self.folder, seconds=seconds, at=at or {})
        self.write_file(seeds)

    def change(self, **plan: object) -> None:
        """Change what workers do that start from now on."""
        values = {**json.loads(self.plan.read_text()), **plan}
        part = self.plan.with_suffix(".part")
        part.write_text(json.dumps(values))
        part.replace(self.plan)

    def start(self, *options: str, said: str = "said") -> subprocess.Popen[str]:
        """`bcdl submit` of the study, begun; what it prints goes to a file of that name."""
        command = [sys.executable, "-m", "tests.slurm.driver", str(self.plan), "submit", "--slurm"]
        with (self.folder / said).open("w") as output:
            return subprocess.Popen(
                [*command, str(self.file), "--results", str(self.results), *options],
                cwd=ROOT,
                env={**os.environ, **self.cluster.variables, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def submit(self, *options: str, said: str = "said") -> tuple[int, str]:
        """`bcdl submit` of the study: exit code and all it printed."""
        code = self.start(*options, said=said).wait(_PATIENCE_S)
        return code, (self.folder / said).read_text()

    @property
    def submission(self) -> Submission:
        (made,) = submission.all_of(self.results)
        return made

    def states(self) -> dict[int, State]:
        """What the queue says of each task."""
        made = submission.all_of(self.results)
        if not made:
            return {}
        names = {made[0].name_of(array): array for array in made[0].arrays()}
        return {names[name].first + place: state for (name, place), state in programs.states(names).items()}

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so; the test fails if that takes minutes."""
        ends = time.monotonic() + _PATIENCE_S
        while not is_so():
            assert time.monotonic() < ends, self.states()
            time.sleep(0.1)

    def wait_for_worker(self, index: int) -> str:
        """Wait until the worker of a task is at its cell; the node that it is on."""
        self.wait_until(lambda: bool(self._worker(index)))
        worker = self._worker(index)
        assert worker is not None
        return worker.environ()["SLURMD_NODENAME"]

    def task(self, index: int) -> psutil.Process:
        """The process of a task whose worker is at its cell."""
        worker = self._worker(index)
        assert worker is not None
        return worker.parent()

    def _worker(self, index: int) -> psutil.Process | None:
        place = f"{self.submission.folder_of(index)}/" if submission.all_of(self.results) else "none"
        for node in two_nodes.NODES:
            for process in self.cluster.processes_of(node):
                with_arguments = _arguments(process)
                if "tests.faults.good_worker" in with_arguments and any(
                    word.startswith(place) for word in with_arguments
                ):
                    return process
        return None


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def on_nodes(cluster: TwoNodes, tmp_path: Path) -> Iterator[OnNodes]:
    """A study on the cluster, both of whose nodes are idle when the test begins and ends."""
    made = OnNodes(cluster, tmp_path)
    yield made
    cluster.run("scancel", "--state=PENDING", "--user", os.environ.get("USER", "root"))
    made.wait_until(lambda: cluster.idle() == len(two_nodes.NODES))
