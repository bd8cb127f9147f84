"""What a command shows and writes once all cells of its run have ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bcdl.records.record import Record
from bcdl.report import on_screen, page, run_table


def show_and_rebuild(records: Sequence[Record], results: Path, console: Console) -> list[str]:
    """Print the run's records as a table, then the answer that they give, and rebuild the report of the results folder.

    Args:
        records: of the run.
        results: the results folder.
        console: takes the tables.

    Returns:
        Lines that say what was written, and what was not.

    Raises:
        UsageError: the files can't be written.
    """
    run_table.print_run(records, console)
    on_screen.print_run(records, results, console)
    return page.build(results)
