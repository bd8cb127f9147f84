"""A stand-in for SLURM: its programs in a folder, and a queue in a file, which a test sets and runs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runner.cluster import programs

PROGRAMS = ("sbatch", "squeue", "scontrol", "sacct")
_PROGRAM = """#!/bin/sh
exec {python} -S {file} {folder} {name} "$@"
"""


@dataclasses.dataclass
class StandIn:
    """The queue of a cluster that there is not.

    Attributes:
        folder: has the programs and the queue.
    """

    folder: Path

    @classmethod
    def put(cls, folder: Path, patch: pytest.MonkeyPatch, **site: Any) -> StandIn:
        """Make the programs and put them before all others; `site` is what the cluster is set up for."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            program = folder / name
            program.write_text(_PROGRAM.format(python=sys.executable, file=programs.__file__, folder=folder, name=name))
            program.chmod(0o755)
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        stand_in = cls(folder)
        stand_in.write({"most": 1001, "next": 100, "jobs": [], **site})
        return stand_in

    def read(self) -> dict[str, Any]:
        return programs.read(self.folder)

    def write(self, queue: dict[str, Any]) -> None:
        programs.write(self.folder, queue)

    def set(self, **site: Any) -> None:
        """Change what the cluster is set up for: `refuse`, why sbatch fails; `silent`, whether nothing answers."""
        self.write({**self.read(), **site})

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that were submitted, oldest first."""
        return list(self.read()["jobs"])

    def states(self, job: int = -1) -> dict[int, str]:
        """The state of each task of a job, by its place."""
        return {int(place): task["state"] for place, task in self.jobs[job]["tasks"].items()}

    def end(self, place: int, state: str, code: str = "0:0", job: int = -1, reason: str = "None") -> None:
        """Say of a task that it is in that state."""
        queue = self.read()
        queue["jobs"][job]["tasks"][str(place)] |= {"state": state, "code": code, "reason": reason}
        self.write(queue)

    def forget(self, job: int = -1) -> None:
        """Let the controller forget a job, as it does some minutes after its end."""
        queue = self.read()
        queue["jobs"][job]["known"] = False
        self.write(queue)

    def variables(self, place: int, job: int = -1, **more: str) -> dict[str, str]:
        """The variables that a task has of SLURM."""
        made = self.jobs[job]
        array = {"SLURM_ARRAY_JOB_ID": str(made["id"]), "SLURM_ARRAY_TASK_ID": str(place)}
        own = {"SLURM_JOB_ID": str(made["id"] + place), "SLURM_CLUSTER_NAME": "stand-in", "SLURMD_NODENAME": "node-x1"}
        return {**own, **(array if made["array"] else {}), **more}

    def run(self, place: int, job: int = -1, state: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a task's script as a node does; unless `state` is false, the queue says how it ended."""
        made = self.jobs[job]
        done = subprocess.run(
            ["bash", made["script"], *made["arguments"]],
            cwd=made["chdir"],
            env={**os.environ, **self.variables(place, job, **more)},
            capture_output=True,
            text=True,
            check=False,
        )
        if made["output"] != os.devnull:
            Path(made["output"]).write_text(done.stdout + done.stderr)
        if state:
            self.end(place, "FAILED" if done.returncode else "COMPLETED", f"{done.returncode}:0", job)
        return done

    def run_all(self, job: int = -1) -> None:
        for place in self.states(job):
            self.run(place, job)
