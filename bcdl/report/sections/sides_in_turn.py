"""The section of two sides or more measured in turn (`bcdl ab`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from bcdl.machine.provenance import short_commit
from bcdl.parity.verdicts import Verdicts
from bcdl.records import comparability, store
from bcdl.records.comparability import Evidence
from bcdl.records.groups import Line, group_records
from bcdl.records.record import Record
from bcdl.report import how_to_read
from bcdl.report.formats import fixed, percent
from bcdl.report.section import Section
from bcdl.report.sections import utilisation
from bcdl.report.sections.comparison_table import Parity, table, table_with_parity
from bcdl.report.tables import Table
from bcdl.statistics import comparison, doubts
from bcdl.statistics.comparison import Comparison, Pair
from bcdl.text import escape, safe_name

PAGE = "sides-in-turn"


@dataclasses.dataclass(frozen=True)
class SidesInTurn:
    """One comparison of sides measured in turn.

    Attributes:
        machine: the machine on which it ran.
        run: its id, that of the run which began it.
        sides: the records of each side, by its letter, in the order of letters; none is empty.
    """

    machine: str
    run: str
    sides: dict[str, list[Record]]

    @property
    def records(self) -> list[Record]:
        return [record for records in self.sides.values() for record in records]

    def backends(self, *sides: str) -> set[str]:
        """The backends of these sides, of all if none is named."""
        return {record.cell.backend for name in sides or self.sides for record in self.sides[name]}


def read(records: Iterable[tuple[str, Record]]) -> list[SidesInTurn]:
    """Every comparison of two sides or more among the records, each with its machine; the oldest first."""
    runs: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for machine, record in records:
        if record.block:
            runs.setdefault((machine, record.block.partition("/")[0]), {}).setdefault(record.side, []).append(record)
    return [
        SidesInTurn(machine, run, dict(sorted(sides.items())))
        for (machine, run), sides in runs.items()
        if len(sides) > 1
    ]


def read_run(results: Path, run: str) -> SidesInTurn | None:
    """The newest comparison of that id in the results folder; None if there is none."""
    records, _ = store.read_all(results)
    return next((each for each in reversed(read(records)) if each.run == run), None)


def pairs(run: SidesInTurn) -> list[Pair]:
    """Every two sides compared; p-values are corrected over all."""
    rates = {name: [s for record in side for s in comparison.samples(record)] for name, side in run.sides.items()}
    return comparison.compare_all(rates)


def regressions(run: SidesInTurn, pair: Pair) -> list[str]:
    """A line for each cell in which a side has regressed from the first, of sides that are of one backend.

    That another backend is slower is a result, and no regression.
    """
    if pair.a != next(iter(run.sides)) or len(run.backends(pair.a, pair.b)) > 1:
        return []
    return [
        f"side {pair.b} is slower by more than {percent(slower.threshold, 1)}, beyond chance: {slower.title}, "
        f"{slower.regime}: {fixed(slower.effect.ratio, 3)} of side {pair.a}"
        for slower in pair.comparisons
        if slower.regressed
    ]


def section(records: Iterable[tuple[str, Record]], verdicts: Verdicts) -> Section | None:
    """Comparisons of sides in turn; None if there are none."""
    runs = read(records)
    if not runs:
        return None
    parts = ["# Sides in turn", how_to_read.link(how_to_read.TURNS)]
    tables: dict[str, tuple[Table, ...]] = {}
    for run in runs:
        compared = pairs(run)
        of_pairs = tuple(table_of(pair, run, verdicts) for pair in compared)
        parts += [f"## {escape(_heading(run))}", _facts(run, compared), *(table.to_markdown() for table in of_pairs)]
        tables[safe_name(f"in-turn-{run.machine}-{run.run}")] = of_pairs
    return Section("\n\n".join(parts) + "\n", tables, page=PAGE)


def _heading(run: SidesInTurn) -> str:
    """The sides and the models of a comparison, and its day."""
    models = dict.fromkeys(Line.of(record.cell).title for record in run.records)
    day = min(record.started for record in run.records)[:10]
    return f"{' and '.join(_sides(run))}: {', '.join(models)}, {day}"


def _sides(run: SidesInTurn) -> list[str]:
    """Each side by its backend, with its letter if another has the same one."""
    backends = {name: records[0].cell.backend for name, records in run.sides.items()}
    names = list(backends.values())
    return [each if names.count(each) == 1 else f"{each} ({name.upper()})" for name, each in backends.items()]


def table_of(pair: Pair, run: SidesInTurn | None = None, verdicts: Verdicts | None = None) -> Table:
    """One line a cell and regime of two sides; with verdicts, those of their backends' parity beside them."""
    names = (pair.a.upper(), pair.b.upper())
    if run is None or verdicts is None or len(run.backends(pair.a, pair.b)) < 2 or not pair.comparisons:
        return table(pair.comparisons, names)
    judged = [(compared, _parity(run, pair, compared, verdicts)) for compared in pair.comparisons]
    return table_with_parity(judged, names)


def _parity(run: SidesInTurn, pair: Pair, compared: Comparison, verdicts: Verdicts) -> Parity:
    """What is known of the parity of the records behind a comparison."""
    record, other = (
        next(record for record in reversed(run.sides[side]) if record.ok and record.cell == sample.cell)
        for side, sample in zip((pair.a, pair.b), compared.samples, strict=True)
    )
    return Parity(verdicts.of(run.machine, record, other), verdicts.mark(run.machine, [record], [other]))


def side_lines(run: SidesInTurn) -> list[str]:
    """What each side is, a line each."""
    return [f"{name.upper()}: {_side(records)}" for name, records in run.sides.items()]


def _facts(run: SidesInTurn, compared: Sequence[Pair]) -> str:
    """Machine, sides, cells, and why a cell could not be compared, a line each."""
    groups = group_records([(run.machine, record) for record in run.records])
    lines = [
        f"Machine: {run.machine}",
        *side_lines(run),
        *(f"Cells: {title}" for title in dict.fromkeys(group.title for group in groups)),
        *utilisation.yardstick_lines([record for record in run.records if record.ok]),
        *(f"Not ok: {_failure(record)}" for record in run.records if not record.ok),
        *(f"Left out: {line}" for line in _changed(run.records)),
        *(f"Not ok: {pair.failure}" for pair in compared if pair.failure),
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
