"""A worker that measures nothing: `python -m tests.faults.good_worker PLAN JOB RESULT EVENTS [JOB RESULT EVENTS]...`.

It stands in for `bcdl.worker` and starts in milliseconds: standard library, and of the project only the lifeline. PLAN
is a JSON file: `record`, the fields of the records it leaves; `seconds`, how long each takes; and `at`, what becomes of
the cells of some seeds instead: a function of `bad_worker`, or the status of a record that is not ok.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bcdl.worker import parent_death
from tests.faults import bad_worker


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
    own = {
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


if __name__ == "__main__":
    main(*sys.argv[1:])
