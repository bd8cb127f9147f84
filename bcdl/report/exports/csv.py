"""All samples of all records as CSV, a row each.

Columns: what identifies the record (`machine`, `run`, `side`, `block`, `started`), its cell (`backend`, `model`, and
`cell`, every setting), what was timed (`regime`), whether the sample was a warm-up, which no rate counts, and its
number, `seconds` and `images_per_s`. A word that a spreadsheet would run as a formula has an apostrophe before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bcdl.records.recomputed import images_a_sample
from bcdl.records.record import Record
from bcdl.report.tables import csv_line
from bcdl.text import inert

_WARM_UP = "_warm_up"
_COLUMNS = (
    *("machine", "run", "side", "block", "started", "backend", "model", "cell"),
    *("regime", "warm_up", "sample", "seconds", "images_per_s"),
)


def text(records: Sequence[tuple[str, Record]]) -> str:
    """The whole CSV; a record without samples, as of a cell that failed, has no row."""
    rows = (row for machine, record in records for row in _rows(machine, record))
    return "".join(map(csv_line, [_COLUMNS, *rows]))


def _rows(machine: str, record: Record) -> Iterator[list[str]]:
    cell, images = record.cell, images_a_sample(record)
    words = (machine, record.run, record.side, record.block, record.started, cell.backend, cell.model, cell.id)
    identity = [inert(word) for word in words]
    for name, samples in record.samples.items():
        kind = name.removesuffix("_s")
        regime = kind.removesuffix(_WARM_UP)
        warm_up = "yes" if kind != regime else "no"
        for number, seconds in enumerate(samples, start=1):
            rate = images.get(regime, 0) / seconds
            yield [*identity, inert(regime), warm_up, str(number), repr(seconds), repr(rate) if rate else ""]
