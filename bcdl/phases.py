"""Show where the time of the cells in a results folder goes, phase by phase."""

from __future__ import annotations

from pathlib import Path

from bcdl.errors import UsageError, run_command
from bcdl.records.groups import group_records
from bcdl.report.sections.phases import phase_tables
from bcdl.report.sources import Sources
from bcdl.report.tables import plain
from bcdl.runner import progress
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.options import DEFAULT_RESULTS


def main() -> int:
    parser = Parser("phases", __doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="results folder of the records")
    arguments = parser.parse_args()
    sources = Sources.read(arguments.results)
    for notice in sources.notices:
        say(notice)
    shown = _show(sources)
    if not shown:
        raise UsageError(
            f"no record in {str(arguments.results)!r} says where its time went; name a folder with --results, or "
            "measure again: records of schema 7 and later say it"
        )
    return 1 if sources.unread else 0


def _show(sources: Sources) -> bool:
    """Print the tables of each group that has some; whether there was one."""
    console = progress.console()
    shown = False
    for group in group_records(sources.records):
        tables = phase_tables(group)
        if tables:
            console.print(plain(f"{group.machine}: {group.title}"), highlight=False)
        for table in tables:
            console.print(table.to_rich())
            shown = True
    return shown


if __name__ == "__main__":
    run_command(main)
