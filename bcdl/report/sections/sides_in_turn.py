"""The section of runs of two sides in turn (`bcdl ab`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from bcdl.errors import UsageError
from bcdl.machine.provenance import short_commit
from bcdl.parity.verdicts import Verdicts
from bcdl.records import comparability
from bcdl.records.comparability import Evidence
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.section import Section
from bcdl.report.sections import utilisation
from bcdl.report.sections.comparison_table import Parity, table, table_with_parity
from bcdl.report.tables import Table
from bcdl.statistics import comparison, doubts
from bcdl.statistics.comparison import Comparison
from bcdl.text import escape, safe_name

_TEXT = """\
Both sides of a cell by whole processes, in turn, round after round (`nox -s bench-ab`): the machine's drift meets both
alike, so that these ratios may be quoted, for cells of this size and batch and the settings named, where those of the
sections above may not; the rates beside them are of their moment. B / A is a geometric mean; **HL**, that of Hodges and
Lehmann (1963), which a few wild rounds hardly move, stands beside it. A significant slow-down beyond the **threshold**,
3 percent or three times the standard error of its own ratio, is a regression. No p is smaller than 2 / 2^rounds.
"""


@dataclasses.dataclass(frozen=True)
class SidesInTurn:
    """One run of two sides in turn.

    Attributes:
        machine: the machine on which it ran.
        run: the id that the runs of both sides begin with.
        a, b: the records of each side; neither is empty.
    """

    machine: str
    run: str
    a: list[Record]
    b: list[Record]

    @property
    def records(self) -> list[Record]:
        return [*self.a, *self.b]

    @property
    def crosses_backends(self) -> bool:
        """Whether the sides are two backends, whose models need not be the same."""
        return {record.cell.backend for record in self.a} != {record.cell.backend for record in self.b}


def read(records: Iterable[tuple[str, Record]]) -> list[SidesInTurn]:
    """Every run of two sides among the records, each with its machine; the oldest first."""
    runs: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for machine, record in records:
        if record.block:
            runs.setdefault((machine, record.block.partition("/")[0]), {}).setdefault(record.side, []).append(record)
    return [
        SidesInTurn(machine, run, sides["a"], sides["b"])
        for (machine, run), sides in runs.items()
        if {"a", "b"} <= sides.keys()
    ]


def section(records: Iterable[tuple[str, Record]], verdicts: Verdicts) -> Section | None:
    """Runs of two sides in turn; None if there are none."""
    runs = read(records)
    if not runs:
        return None
    parts = ["## Two sides in turn", _TEXT.strip()]
    tables: dict[str, tuple[Table, ...]] = {}
    for run in runs:
        compared, failure = _compared(run, verdicts)
        parts += [_facts(run, failure), compared.to_markdown()]
        tables[safe_name(f"in-turn-{run.machine}-{run.run}")] = (compared,)
    return Section("\n\n".join(parts) + "\n", tables)


def _compared(run: SidesInTurn, verdicts: Verdicts) -> tuple[Table, str]:
    """One line a cell and regime; and why the sides can't be compared, empty if they can."""
    first, second = ([sample for record in side for sample in comparison.samples(record)] for side in (run.a, run.b))
    try:
        comparisons = comparison.compare(first, second) if first and second else []
    except UsageError as error:  # records may come from anywhere, and their sides differ in anything
        return table([]), str(error)
    if not run.crosses_backends:
        return table(comparisons), ""
    return table_with_parity([(compared, _parity(run, compared, verdicts)) for compared in comparisons]), ""


def _parity(run: SidesInTurn, compared: Comparison, verdicts: Verdicts) -> Parity:
    """What is known of the parity of the records behind a comparison."""
    record, other = (
        next(record for record in reversed(side) if record.ok and record.cell == sample.cell)
        for side, sample in zip((run.a, run.b), compared.samples, strict=True)
    )
    return Parity(verdicts.of(run.machine, record, other), verdicts.mark(run.machine, [record], [other]))


def _facts(run: SidesInTurn, failure: str) -> str:
    """Machine, sides, cells, and why a cell could not be compared, a line each."""
    groups = group_records([(run.machine, record) for record in run.records])
    lines = [
        f"Machine: {run.machine}",
        f"A: {_side(run.a)}",
        f"B: {_side(run.b)}",
        *(f"Cells: {title}" for title in dict.fromkeys(group.title for group in groups)),
        *utilisation.yardstick_lines([record for record in run.records if record.ok]),
        *(f"Not ok: {_failure(record)}" for record in run.records if not record.ok),
        *(f"Left out: {line}" for line in _changed(run.records)),
        *([f"Not ok: {failure}"] if failure else []),
        *([f"Disturbance: {unrecorded}"] if (unrecorded := doubts.unrecorded(run.records)) else []),
    ]
    return "\n".join(f"- {escape(line)}" for line in lines)


def _changed(records: Sequence[Record]) -> list[str]:
    """A line on each record whose code changed while it ran: it stands in no comparison."""
    changed = (record for record in records if comparability.code_changed(Evidence.of(record)))
    return [f"{record.cell.title}, round {record.block}: its code changed while it ran" for record in changed]


def _failure(record: Record) -> str:
    return f"{record.cell.title}: {record.status}: {record.reason}"


def _side(records: Sequence[Record]) -> str:
    """A side in words, by its first record that is ok."""
    record = next((record for record in records if record.ok), records[0])
    cell, environment = record.cell, record.environment
    versions = sorted((comparability.versions(environment, cell.device) or {}).items())
    ran_on = ", ".join(f"{name} {version}" for name, version in versions)
    commit, jit = short_commit(environment), environment.get("jit_compile")
    return f"{cell.backend}, {cell.precision} ({ran_on}), commit {commit}, jit_compile {jit}"
