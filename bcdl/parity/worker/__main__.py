"""`python -m bcdl.parity.worker JOB RESULT`: the pace of one backend, in a process of its own.

The job is a JSON file with `backend`, `plan` and `deterministic`; the pace goes to the file RESULT, whole or not
at all. It never goes to stdout, to which frameworks write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bcdl import backends
from bcdl.parity.settings import Plan
from bcdl.records import disk
from bcdl.worker import parent_death
from bcdl.worker.session import start_backend


def main(job_file: str, result_file: str) -> int:
    parent_death.end_with_driver()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    plan = Plan(**job["plan"])
    if job["deterministic"]:
        backends.load(job["backend"]).make_deterministic()
    adapter = start_backend(job["backend"], plan.device, plan.precision)
    from bcdl.parity.worker import determinism  # it imports Keras, for which the backend had to be started

    disk.replace(Path(result_file), json.dumps(determinism.pace(plan, adapter)).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
