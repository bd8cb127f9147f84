"""The table that a run shows in the terminal when it ends: a row for each cell, with its metrics."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from bcdl.records.groups import Line
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.report.sections.metrics import METRICS, metric_entry
from bcdl.report.tables import Entry, Table, absent, figures, word, words
from bcdl.text import legible

_SHOWN = tuple(metric for metric in METRICS if metric.short)
_COLUMNS = (words("model"), words("backend"), words("seed"), *(figures(metric.short) for metric in _SHOWN))


def print_run(records: Sequence[Record], console: Console) -> None:
    """The table of one run's records, then the reason of each that is not ok."""
    console.print(run_table(records).to_rich())
    for record in records:
        if not record.ok:
            line = f"{record.cell.title}: {record.status}: {record.reason}"
            console.print(legible(line), markup=False, highlight=False, soft_wrap=True)


def run_table(records: Sequence[Record]) -> Table:
    """The records of one run; a cell that is not ok has only its status."""
    first = records[0].cell
    synthetic = " (synthetic drawings)" if any(record.dataset.get("synthetic") for record in records) else ""
    settings = f"{first.image_size}x{first.image_size}, batch {first.batch_size}, {first.epochs} epochs"
    title = f"{first.data}{synthetic}, {first.precision}, {settings}, {first.profile}"
    return Table(title, _COLUMNS, tuple(_row(record) for record in records))


def _row(record: Record) -> tuple[Entry, ...]:
    cell = record.cell
    entries = [metric_entry([record], metric) for metric in _SHOWN] if record.ok else _status(record)
    return (word(Line.of(cell).title), word(cell.backend), word(cell.draw.removeprefix("seed ")), *entries)


def _status(record: Record) -> list[Entry]:
    return [Entry(record.status, formats.status), *[absent()] * (len(_SHOWN) - 1)]
