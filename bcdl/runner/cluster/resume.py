"""Which cells need not be submitted: those that a node has measured already, by the same code, versions and data."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from bcdl.machine import provenance
from bcdl.records import store
from bcdl.records.comparability import Evidence, Purpose, differences, is_of_cluster
from bcdl.records.record import OUT_OF_MEMORY, Record
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.run import SETTLED, Run, not_resumed_from, run_again, still_valid
from bcdl.settings.job import Job

# Another node may have more memory.
_SETTLED = tuple(status for status in SETTLED if status != OUT_OF_MEMORY)


def settled(
    run: Run, jobs: Sequence[Job], by_backend: Mapping[str, Interpreter]
) -> tuple[dict[Job, Record], list[str]]:
    """The jobs whose newest record of a node stands, with it, and notices for people.

    Any node counts, since nobody knows beforehand which one would run the cell; what was measured elsewhere does not.

    Args:
        run: the run that checked the data of these jobs.
        jobs: what is asked for.
        by_backend: what runs the workers of each backend.
    """
    records, problems = store.read_all(run.results)
    newest = {each.cell: each for _, each in records if not each.block and is_of_cluster(each)}

    def changes(earlier: Record, job: Job) -> list[str]:
        return _changes(earlier, job, run, by_backend[job.cell.backend])

    standing, changed = still_valid(jobs, newest, changes, _SETTLED)
    cells = f"{len(jobs)} cells"
    resumed = f"resumed: {len(standing)} of {cells} have their record already"
    return standing, [resumed, *run_again(changed, cells), *not_resumed_from(problems)]


def _changes(earlier: Record, job: Job, run: Run, by: Interpreter) -> list[str]:
    """Names of the facts in which the earlier record differs from one that a node would leave now."""
    software: dict[str, Any] = {"python": platform.python_version(), "versions": provenance.versions()}
    now = Evidence(
        job.cell.to_dict(),
        environment={**software, **by.facts, "code": provenance.digest(job.cell.backend)},
        weights={"sha256": run.weights[job.weights_file]} if job.weights_file else {},
        # The record of a cell that failed before it had loaded its data has no checksum.
        dataset={"checksum": run.checksums[job.request]} if earlier.dataset else {},
    )
    return [difference.fact for difference in differences(Evidence.of(earlier), now, Purpose.RESUME_ON_NODES)]
