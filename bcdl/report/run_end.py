"""What a command shows and writes once all cells of its run have ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bcdl.records.record import Record
from bcdl.report import on_screen, page, run_table


def show_and_rebuild_all(recorded: Sequence[tuple[str, Record]], results: Path, console: Console) -> list[str]:
    """As `show_and_rebuild`, of records that each came from some machine: what they answer is shown for each machine.

    Args:
        recorded: the records, each with its machine.
        results: the results folder.
        console: takes the tables.
    """
    run_table.print_run([record for _, record in recorded], console)
    for machine in dict.fromkeys(machine for machine, _ in recorded):
        on_screen.print_run([record for of, record in recorded if of == machine], results, console, machine)
    return page.build(results)


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
