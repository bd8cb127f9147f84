"""A worker that measures nothing: `python -m benchmarks.empty_worker JOB RESULT EVENTS` leaves a record that is ok.

It takes the place of `bcdl.worker` where the cost of all else is measured, and starts in a tenth of a second.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bcdl.records.moment import now
from bcdl.records.record import OK, Record
from bcdl.settings.cell import Cell


def main(job_file: str, result_file: str, events_file: str) -> None:
    asked, begun = json.loads(Path(job_file).read_text(encoding="utf-8")), now()
    cell = Cell.from_dict(asked["job"]["cell"])
    facts = {
        "name": cell.data,
        "checksum": asked["job"]["data_checksum"],
        "synthetic": True,
        **{part: {"train": 1} for part in ("images", "malignant", "groups")},
        "notices": [],
    }
    part = Path(f"{result_file}.part")
    part.write_text(Record(asked["run"], OK, "", cell, begun, now(), dataset=facts).to_json(), encoding="utf-8")
    part.replace(result_file)


if __name__ == "__main__":
    main(*sys.argv[1:])
