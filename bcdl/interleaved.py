"""Runs of two sides in turn (`bcdl.ab`), as the report shows them. Never imports Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from bcdl import compare
from bcdl.errors import UsageError
from bcdl.record import Record
from bcdl.tables import Table


@dataclasses.dataclass(frozen=True)
class Interleaved:
    """One run of two sides in turn.

    Attributes:
        machine: where.
        run: id that both sides' runs have in common.
        sides: what each side, A and B, ran on: its axes as text.
        table: the comparison, one line a cell and regime.
        failures: what kept a cell from being compared, a line each.
    """

    machine: str
    run: str
    sides: tuple[str, str]
    table: Table
    failures: tuple[str, ...]


def read(records: Iterable[tuple[str, Record]]) -> list[Interleaved]:
    """Every run of two sides among the records, each with its machine; the oldest first."""
    runs: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for machine, record in records:
        if record.block:
            side = record.run.rpartition("-")[2]
            runs.setdefault((machine, record.block.partition("/")[0]), {}).setdefault(side, []).append(record)
    return [
        _of(machine, run, sides["a"], sides["b"])
        for (machine, run), sides in runs.items()
        if {"a", "b"} <= sides.keys()
    ]


def _of(machine: str, run: str, a: list[Record], b: list[Record]) -> Interleaved:
    failures = tuple(f"{record.cell.title}: {record.status}: {record.reason}" for record in (*a, *b) if not record.ok)
    first, second = ([sample for record in side for sample in compare.samples(record)] for side in (a, b))
    try:
        compared = compare.compare(first, second) if first and second else []
    except UsageError as error:  # records may come from anywhere, and their sides differ in anything
        return Interleaved(machine, run, (_side(a), _side(b)), compare.table([]), (*failures, str(error)))
    return Interleaved(machine, run, (_side(a), _side(b)), compare.table(compared), failures)


def _side(records: list[Record]) -> str:
    axes, _ = compare.circumstances(records[0])
    return f"{axes['backend']}, {axes['precision']} ({axes['versions']}), commit {axes['commit'][:10]}"
