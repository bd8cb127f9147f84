"""A worker of a test cell: `python -m bcdl.experiments.workers.loop SHARE JOB RESULT EVENTS`.

A loop of plain Python stands in for a framework's training step, so that the process starts in a fraction of a second
and hundreds of them can be compared. SHARE is as in `bcdl.experiments.workers.steps`.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bcdl.experiments.workers.slowed import Slowed
from bcdl.records.moment import now
from bcdl.records.record import OK, Record
from bcdl.records.shapes import DatasetFacts
from bcdl.settings.cell import Cell
from bcdl.worker import parent_death, timing

_WINDOWS = 20
_TURNS = 40_000  # of the loop, a few milliseconds together


def command(share: float) -> tuple[str, ...]:
    """The interpreter's arguments that start this worker, as `bcdl.runner.launch.run` takes them."""
    return ("-m", "bcdl.experiments.workers.loop", str(share))


def no_data(cell: Cell) -> DatasetFacts:
    """The facts that a record gives of its data if none was loaded."""
    return {
        "name": cell.data,
        "checksum": "",
        "synthetic": True,
        "notices": [],
        "images": {},
        "malignant": {},
        "groups": {},
    }


class _Loop:
    """What `Slowed` needs of an adapter."""

    @contextlib.contextmanager
    def training(self, *arrays: Any) -> Iterator[Callable[[], int]]:
        yield lambda: sum(number * number for number in range(_TURNS))

    def sync(self, value: Any) -> None:
        """The work is done when the call returns."""


def main(share: str, job_file: str, result_file: str, events_file: str) -> int:
    parent_death.end_with_driver()
    values = json.loads(Path(job_file).read_text(encoding="utf-8"))
    cell, started, seconds = Cell.from_dict(values["job"]["cell"]), now(), []
    with Slowed(_Loop(), float(share)).training(None, None, None) as step:
        for _ in range(1 + _WINDOWS):
            seconds.append(timing.seconds_of(step))
    kept = seconds[1:]
    metrics: dict[str, float | None] = {"step_images_per_s": cell.batch_size / statistics.median(kept)}
    samples, data = {"step_s": kept}, dict(no_data(cell))
    record = Record(values["run"], OK, "", cell, started, now(), metrics, samples, dataset=data)
    Path(result_file).write_text(record.to_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
