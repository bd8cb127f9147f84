"""Rebuild pages, tables and plots from records alone, check that they follow, print the answer, or sum them up."""

from __future__ import annotations

import argparse
from pathlib import Path

from bcdl.errors import BcdlError, run_command
from bcdl.report import output
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.options import DEFAULT_RESULTS

# What draws and what judges is imported by what needs it: it takes seconds, which --help and a wrong option do not.


def main() -> int:
    arguments = _parse()
    from bcdl.report.sources import check_given

    check_given(arguments.results)
    if arguments.answer:
        return _answer(arguments.results)
    if arguments.summary is not None:
        return _sum_up(arguments.results, arguments.summary)
    return _check(arguments.results) if arguments.check else _write(arguments.results)


def _write(results: Path) -> int:
    """Write pages, tables and plots; BcdlError if some of them could not be made or written."""
    from bcdl.report import page

    report = page.write(results)
    _print(report.lines)
    if report.failure:
        raise BcdlError(report.failure)
    return 0


def _check(results: Path) -> int:
    """Check that what is there follows from the records; BcdlError if it does not."""
    from bcdl.report import page

    _print(page.check(results))
    return 0


def _answer(results: Path) -> int:
    """Print the answer; BcdlError if something could not be read, so that it may lack what was measured."""
    from bcdl.report import on_screen
    from bcdl.report.sources import Sources

    sources = Sources.read(results)
    on_screen.print_newest(sources)
    if sources.unread:
        raise BcdlError(f"{len(sources.unread)} lines or files of {results} could not be read; bcdl report names them")
    return 0


def _sum_up(results: Path, out: Path) -> int:
    """Write the summary to the file, or to stdout.

    Raises:
        UsageError: the file can't be written, or is somebody's.
        BcdlError: something could not be read; the summary is written all the same, and says so.
    """
    from bcdl.report import summary
    from bcdl.report.sources import Sources

    output.check(out)
    sources = Sources.read(results)
    output.write(summary.markdown(sources), out)
    if unread := len(sources.unread):
        raise BcdlError(f"{unread} lines or files of {results} could not be read; the summary names them")
    return 0


def _print(lines: list[str]) -> None:
    for line in lines:
        say(line)


def _parse() -> argparse.Namespace:
    parser = Parser("report", __doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="folder that holds records/")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--check",
        action="store_true",
        help="write nothing; end with 1, naming each file, if pages, tables or plots do not follow from the records",
    )
    instead.add_argument(
        "--answer",
        action="store_true",
        help="write nothing; print which backend is the fastest for which model, how sure that is, and what is open",
    )
    instead.add_argument(
        "--summary",
        nargs="?",
        type=Path,
        const=output.STDOUT,
        metavar="FILE",
        help="write Markdown for the summary of a CI job into the file, - or nothing for stdout, and nothing else",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
