"""python -m bcdl.report: tables, plots and page, rebuilt from records alone, or checked against them."""

from __future__ import annotations

import argparse
from pathlib import Path

from bcdl.errors import UsageError, program, run_command
from bcdl.records import store
from bcdl.report.page import build, check
from bcdl.settings.options import DEFAULT_RESULTS
from bcdl.text import legible


def main() -> int:
    parser = argparse.ArgumentParser(prog=program("report"), description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="folder that holds records/")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; end with 1, naming each file, where page, tables or plots do not follow from the records",
    )
    arguments = parser.parse_args()
    if not (arguments.results / store.RECORDS).is_dir():
        raise UsageError(
            f"{arguments.results} holds no {store.RECORDS}/ folder; run a benchmark first or use --results"
        )
    for line in check(arguments.results) if arguments.check else build(arguments.results):
        print(legible(line))
    return 0


if __name__ == "__main__":
    run_command(main)
