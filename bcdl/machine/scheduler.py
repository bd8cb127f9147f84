"""The scheduler's job that this process is a part of, as a record says it: by digests, and never by a node's name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from bcdl.text import HOSTS_OF_A_JOB

NAME = "slurm"
_LETTERS = 16


def facts(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What a record says of the job, as JSON values; empty if this process is a part of none.

    A digest is of the cluster's name and the job's id: who knows both finds the records of the job.
    """
    if not (job := variables.get("SLURM_JOB_ID")):
        return {}
    cluster, array = variables.get("SLURM_CLUSTER_NAME", ""), variables.get("SLURM_ARRAY_JOB_ID")
    said = {"name": NAME, "job": digest(cluster, job), "restarts": restarts(variables)}
    return {"scheduler": {**said, **({"array": digest(cluster, array)} if array else {})}}


def restarts(variables: Mapping[str, str] = os.environ) -> int:
    """How often the scheduler has started the job again, as after its node failed; 0 if it does not say."""
    count = variables.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isascii() and count.isdecimal() else 0


def hosts(variables: Mapping[str, str] = os.environ) -> list[str]:
    """The names of hosts that the scheduler tells this process: of its node, and of where the job was submitted."""
    return [name for variable in HOSTS_OF_A_JOB if (name := variables.get(variable))]


def digest(cluster: str, job: str) -> str:
    """What stands in a record for a job's id."""
    return hashlib.sha256(f"{NAME} {cluster} {job}".encode("utf-8", "backslashreplace")).hexdigest()[:_LETTERS]
