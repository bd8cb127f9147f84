"""A worker that measures nothing: `python -m tests.faults.good_worker PLAN JOB RESULT EVENTS [JOB RESULT EVENTS]...`.

It stands in for `bcdl.worker` and starts in milliseconds: standard library, and of the project only the lifeline. PLAN
is a JSON file: `record`, the fields of the records it leaves; `seconds`, how long each takes; and `at`, what becomes of
the cells of some seeds instead: a function of `bad_worker`, or the status of a record that is not ok. If the plan
`reads`, each loads its data as the real worker does, and its record is of that data; before the cells of some seeds it
makes a `copy` of a file. The figures of the plan's record follow from its cell: a record of a cell that is measured
otherwise has none.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bcdl.worker import parent_death
from tests.faults import bad_worker

# The settings of a cell that say how many samples and epochs its record has, and of how many images.
_OF_FIGURES = ("timing", "batch_size", "epochs", "windows", "window_steps")
_NO_FIGURES: dict[str, Any] = {"metrics": {}, "samples": {}, "history": {}}


def main(plan_file: str, *files: str) -> None:
    parent_death.end_with_driver()
    plan = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    for cells_before, cell_files in enumerate(zip(files[::3], files[1::3], files[2::3], strict=True)):
        if measure(plan, cells_before, *map(Path, cell_files)) != "ok":
            return


def measure(plan: dict[str, Any], cells_before: int, job_file: Path, result_file: Path, events_file: Path) -> str:
    """Leave a record as the plan says; its status."""
    asked = json.loads(job_file.read_text(encoding="utf-8"))
    events_file.write_text("measuring\n", encoding="utf-8")
    started = datetime.now(UTC).isoformat()
    time.sleep(plan["seconds"])
    ending = plan.get("at", {}).get(str(asked["job"]["cell"]["seed"]), "ok")
    if ending in bad_worker.FAULTS:
        bad_worker.FAULTS[ending](job_file, result_file)
        sys.exit(1)
    read: dict[str, Any] = {}
    for source, copy in plan.get("copy", {}).get(str(asked["job"]["cell"]["seed"]), []):
        shutil.copyfile(source, copy)
    if plan.get("reads"):
        ending, read = read_data(asked["job"], plan["record"])
    own = {
        **({} if has_figures(asked["job"]["cell"], plan["record"]["cell"]) else _NO_FIGURES),
        **read,
        "run": asked["run"],
        "status": ending,
        "cell": asked["job"]["cell"],
        "started": started,
        "ended": datetime.now(UTC).isoformat(),
        "environment": {**plan["record"]["environment"], "process": {"cells_before": cells_before}},
    }
    part = Path(f"{result_file}.part")
    part.write_text(json.dumps({**plan["record"], **own}), encoding="utf-8")
    part.replace(result_file)
    return ending


def has_figures(asked: dict[str, Any], planned: dict[str, Any]) -> bool:
    """Whether the figures of a record of the planned cell may stand in one of the cell that is asked for."""
    return all(asked[name] == planned[name] for name in _OF_FIGURES)


def read_data(values: dict[str, Any], record: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Load a job's data as the real worker does: the status, and what becomes of the record's fields."""
    from bcdl.errors import BcdlError  # here, as below: most of these tests read nothing
    from bcdl.settings.job import Job
    from bcdl.worker.inputs import load_data

    try:
        dataset = load_data(Job.from_dict(values))
    except BcdlError as error:
        return "failed", {"reason": str(error), "dataset": {}, "metrics": {}, "predictions": {}}
    return "ok", {"dataset": {**record["dataset"], "name": dataset.name, "checksum": dataset.checksum}}


if __name__ == "__main__":
    main(*sys.argv[1:])
