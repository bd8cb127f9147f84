"""Which cells need not be submitted: those that a node has measured already, by the same code, versions and data."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bcdl.machine import provenance
from bcdl.records import store
from bcdl.records.comparability import Evidence, Purpose, differences, is_of_cluster, is_warm
from bcdl.records.record import OUT_OF_MEMORY, Record
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.run import SETTLED, Run
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
    standing: dict[Job, Record] = {}
    changed: Counter[str] = Counter()
    for job in jobs:
        earlier = newest.get(job.cell)
        if earlier is None or earlier.status not in _SETTLED:
            continue
        if facts := _changes(earlier, job, run, by_backend[job.cell.backend]):
            changed[" and ".join(facts)] += 1
        else:
            standing[job] = earlier
    notes = [f"resumed: {len(standing)} of {len(jobs)} cells have their record already"]
    notes += [
        f"{count} of {len(jobs)} cells run again: their records differ from what is asked now in {facts}"
        for facts, count in changed.items()
    ]
    notes += [
        f"not read, and so not resumed from: {problem}" if problem.is_loss else problem.notice
        for problem in problems
        if not problem.foreign
    ]
    return standing, notes


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
    facts = [difference.fact for difference in differences(Evidence.of(earlier), now, Purpose.RESUME_ON_NODES)]
    return facts + (["compilation cache (--cold)"] if job.cold and is_warm(Evidence.of(earlier)) else [])
