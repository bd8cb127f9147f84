"""A worker that measures nothing: `python -m tests.faults.good_worker PLAN JOB RESULT EVENTS`.

It stands in for `bcdl.worker` and starts in milliseconds: standard library, and of the project only the lifeline. PLAN
is a JSON file: `record`, the fields of the record it leaves, and `seconds`, how long it takes.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bcdl.worker import parent_death


def main(plan_file: str, job_file: str, result_file: str, events_file: str) -> None:
    parent_death.end_with_driver()
    plan, asked = (json.loads(Path(file).read_text(encoding="utf-8")) for file in (plan_file, job_file))
    Path(events_file).write_text("measuring\n", encoding="utf-8")
    started = datetime.now(UTC).isoformat()
    time.sleep(plan["seconds"])
    own = {
        "run": asked["run"],
        "cell": asked["job"]["cell"],
        "started": started,
        "ended": datetime.now(UTC).isoformat(),
    }
    part = Path(f"{result_file}.part")
    part.write_text(json.dumps({**plan["record"], **own}), encoding="utf-8")
    part.replace(result_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
