"""Where the time of a group's cells goes: a table a backend, phases down and models across."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report.tables import Column, Entry, Table, figures, number, words

# In the order in which a cell comes to them, and whether a published figure of speed is measured in it.
PHASES = {
    "starting": False,
    "describing the machine": False,
    "importing": True,
    "probing precision": False,
    "loading data": False,
    "building": True,
    "describing the model": False,
    "training the head": False,
    "first step": True,
    "training": True,
    "settling batch norms": False,
    "validating": False,
    "keeping weights": False,
    "testing": False,
    "probing batch norms": False,
    "timing steps": True,
    "timing predictions": True,
    "timing single requests": True,
    "measuring the device": True,
    "ending": False,
}
MEASURED = frozenset(name for name, measured in PHASES.items() if measured)

TEXT = """\
Every second of a cell belongs to one phase, from the start of its worker to its end; a figure is the median over seeds
and folds. The last line is the share of the time in which a published figure of speed is measured; the rest trains the
head, settles batch norms, validates, tests, keeps weights, and starts and ends the worker.
"""


def phase_tables(group: Group) -> tuple[Table, ...]:
    """A table for each backend that has records with phases; none for records of older schemas."""
    tables = (_table(group, backend) for backend in group.backends)
    return tuple(table for table in tables if table is not None)


def _table(group: Group, backend: str) -> Table | None:
    """Seconds of each phase of the models on a backend; None if no record has them."""
    columns = {group.label(line): _medians(_with_phases(group.of(line, backend))) for line in group.lines}
    columns = {label: medians for label, medians in columns.items() if medians}
    if not columns:
        return None
    known = [name for name in PHASES if any(name in medians for medians in columns.values())]
    unknown = sorted({name for medians in columns.values() for name in medians} - PHASES.keys())
    rows = [(Entry(name), *_seconds(columns, (name,))) for name in (*known, *unknown)]
    rows.append((Entry("all"), *_seconds(columns, (*known, *unknown))))
    rows.append((Entry("of it measured, %"), *map(_measured_share, (*columns.values(), _sum(columns)))))
    return Table(f"Where the time goes on {backend} (s)", _headings(columns), tuple(rows))


def _headings(columns: Mapping[str, object]) -> tuple[Column, ...]:
    return (words("phase"), *map(figures, columns), figures("all"))


def _with_phases(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.ok and record.phases]


def _medians(records: Sequence[Record]) -> dict[str, float]:
    """The median seconds of each phase over the records that have it."""
    names = dict.fromkeys(name for record in records for name in record.phases)
    return {name: statistics.median(r.phases[name] for r in records if name in r.phases) for name in names}


def _seconds(columns: Mapping[str, dict[str, float]], names: Sequence[str]) -> list[Entry]:
    """The seconds of these phases together, in each column and in all."""
    sums = [sum(medians.get(name, 0.0) for name in names) for medians in columns.values()]
    return [number(seconds, 1) for seconds in (*sums, sum(sums))]


def _sum(columns: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """The columns as one: the seconds of each phase in all of them."""
    names = {name for medians in columns.values() for name in medians}
    return {name: sum(medians.get(name, 0.0) for medians in columns.values()) for name in names}


def _measured_share(medians: Mapping[str, float]) -> Entry:
    measured = sum(seconds for name, seconds in medians.items() if name in MEASURED)
    return number(100 * measured / sum(medians.values()), 0)
