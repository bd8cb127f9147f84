"""The answer as text that fits a terminal: what `bcdl report --answer` prints, and a run when it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bcdl.machine import hardware
from bcdl.parity import findings
from bcdl.parity.verdicts import Verdicts
from bcdl.records.record import Record
from bcdl.report import answer, readme
from bcdl.report.answer import Answer
from bcdl.report.readme import Known
from bcdl.report.sources import Sources
from bcdl.text import legible

_PIPED_WIDTH = 160


def print_newest(sources: Sources) -> None:
    """The answer for the machine that the first page is about, and what is not known."""
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    known = Known.of(sources)
    if not known.machines:
        _print_line(console, "there are no records yet")
        return
    made = known.answer(known.machines[0])
    _print_line(console, f"on {made.machine}:")
    _print(made, console)
    if others := known.machines[1:]:
        _print_line(console, f"other machines: {', '.join(others)}; bcdl report writes a page for each")
    _print_line(console, "what we do not know:")
    for line in readme.unknown(made, known):
        _print_line(console, f"- {line}")


def print_run(records: Sequence[Record], results: Path, console: Console, machine: str | None = None) -> None:
    """The answer that a run's own records give; nothing if they have no rate. `machine` is this one if not given."""
    if not records:
        return
    verdicts = Verdicts(findings.read_findings(results)[0])
    made = answer.of_run(machine or hardware.machine_name(records[0].cell.device), records, verdicts)
    if made.rows:
        _print(made, console)


def _print(made: Answer, console: Console) -> None:
    for table in filter(lambda table: table.rows, answer.tables(made)):
        console.print(table.condensed().to_rich())
    for row in made.rows:
        if row.sentence:
            _print_line(console, row.sentence)


def _print_line(console: Console, line: str) -> None:
    console.print(legible(line), markup=False, highlight=False)
