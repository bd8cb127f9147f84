"""Rebuild page, tables and plots from records alone, or check that they follow from them."""

from __future__ import annotations

import argparse
from pathlib import Path

from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.records import log
from bcdl.report import page
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.options import DEFAULT_RESULTS


def main() -> int:
    arguments = _parse()
    results: Path = arguments.results
    if not (results / log.RECORDS).is_dir():
        raise UsageError(f"{results} holds no {log.RECORDS}/ folder; run a benchmark first or use --results")
    if arguments.check:
        _print(page.check(results))
        return 0
    report = page.write(results)
    _print(report.lines)
    if report.failure:
        raise BcdlError(report.failure)
    return 0


def _print(lines: list[str]) -> None:
    for line in lines:
        say(line)


def _parse() -> argparse.Namespace:
    parser = Parser("report", __doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="folder that holds records/")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; end with 1, naming each file, if page, tables or plots do not follow from the records",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
