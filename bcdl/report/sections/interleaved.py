"""Runs of two sides in turn (`bcdl.ab`), as the report shows them. Never imports Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from bcdl.errors import UsageError
from bcdl.machine.provenance import short_commit
from bcdl.parity.verdicts import NO_FINDINGS, Verdicts
from bcdl.records import comparability
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.sections import comparison_table
from bcdl.report.tables import Table, word, words
from bcdl.statistics import comparison


@dataclasses.dataclass(frozen=True)
class Interleaved:
    """One run of two sides in turn.

    Attributes:
        machine: where.
        run: id that both sides' runs have in common.
        sides: what each side, A and B, ran on: its axes as text.
        cells: what both ran, a line for each set of settings.
        table: the comparison, one line a cell and regime; where the sides are two backends, with their parity.
        failures: what kept a cell from being compared, a line each.
    """

    machine: str
    run: str
    sides: tuple[str, str]
    cells: tuple[str, ...]
    table: Table
    failures: tuple[str, ...]


def read(records: Iterable[tuple[str, Record]], verdicts: Verdicts = NO_FINDINGS) -> list[Interleaved]:
    """Every run of two sides among the records, each with its machine; the oldest first."""
    runs: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for machine, record in records:
        if record.block:
            runs.setdefault((machine, record.block.partition("/")[0]), {}).setdefault(record.side, []).append(record)
    return [
        _of(machine, run, sides["a"], sides["b"], verdicts)
        for (machine, run), sides in runs.items()
        if {"a", "b"} <= sides.keys()
    ]


def _of(machine: str, run: str, a: list[Record], b: list[Record], verdicts: Verdicts) -> Interleaved:
    failures = [f"{record.cell.title}: {record.status}: {record.reason}" for record in (*a, *b) if not record.ok]
    first, second = ([sample for record in side for sample in comparison.samples(record)] for side in (a, b))
    try:
        compared = comparison.compare(first, second) if first and second else []
    except UsageError as error:  # records may come from anywhere, and their sides differ in anything
        compared, failures = [], [*failures, str(error)]
    table = _with_parity(comparison_table.table(compared), machine, a, b, verdicts)
    cells = dict.fromkeys(group.title for group in group_records([(machine, record) for record in (*a, *b)]))
    return Interleaved(machine, run, (_side(a), _side(b)), tuple(cells), table, tuple(failures))


def _with_parity(table: Table, machine: str, a: list[Record], b: list[Record], verdicts: Verdicts) -> Table:
    """The table, its ratios marked and the verdict beside them, where its sides are two backends."""
    if {record.cell.backend for record in a} == {record.cell.backend for record in b}:
        return table
    pairs = {comparison.title(record.cell): (record, other) for record in a for other in b if _alike(record, other)}
    place = [column.title for column in table.columns].index(comparison_table.RATIO)
    rows = []
    for row in table.rows:
        record, other = pairs[str(row[0].value)]
        marked = dataclasses.replace(row[place], mark=verdicts.mark(machine, [record], [other]))
        rows.append((*row[:place], marked, *row[place + 1 :], word(verdicts.of(machine, record, other))))
    return Table(table.title, (*table.columns, words("parity")), tuple(rows))


def _alike(record: Record, other: Record) -> bool:
    return record.ok and other.ok and comparison.title(record.cell) == comparison.title(other.cell)


def _side(records: list[Record]) -> str:
    """A side in words, by its first record that is ok."""
    record = next((record for record in records if record.ok), records[0])
    cell, environment = record.cell, record.environment
    versions = ", ".join(
        f"{name} {version}" for name, version in sorted((comparability.versions(environment) or {}).items())
    )
    commit, jit = short_commit(environment), environment.get("jit_compile")
    return f"{cell.backend}, {cell.precision} ({versions}), commit {commit}, jit_compile {jit}"
