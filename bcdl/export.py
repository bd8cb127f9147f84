"""Write the records of a results folder in the form of another tool; without a format, list the formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from bcdl.errors import BcdlError, run_command
from bcdl.report import exports, output
from bcdl.report.sources import Sources, check_given
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.options import DEFAULT_RESULTS
from bcdl.streams import warn


def main() -> int:
    arguments = _parse()
    if arguments.format is None:
        for name in exports.names():
            say(f"{name}: {exports.summary(name)}")
        return 0
    export = exports.load(arguments.format)
    results: Path = arguments.results
    check_given(results)
    output.check(arguments.out)
    sources = Sources.read(results)
    output.write(export(sources.records), arguments.out)
    for notice in sources.notices:
        warn(notice)
    if unread := len(sources.unread):
        raise BcdlError(f"{unread} lines or files of {results} could not be read, so that the export lacks them")
    return 0


def _parse() -> argparse.Namespace:
    parser = Parser("export", __doc__)
    parser.add_argument("format", nargs="?", metavar="FORMAT", help=f"one of {', '.join(exports.names())}")
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="folder that holds records/")
    parser.add_argument("--out", type=Path, default=output.STDOUT, metavar="FILE", help="the file; default -, stdout")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
