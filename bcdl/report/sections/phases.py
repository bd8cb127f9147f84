"""Where the time of a group's cells goes: a table a backend, phases down and models across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report.tables import Column, Entry, Table, figures, number, words

# In the order in which a cell comes to them, and whether a published figure of speed is measured in it.
PHASES = {
    "starting": False,
    "describing the machine": False,
    "measuring idle power": True,
    "importing": True,
    "probing precision": False,
    "loading data": False,
    "building": True,
    "describing the model": False,
    "training the head": False,
    "first step": True,
    "timing the input pipeline": True,
    "training": True,
    "settling batch norms": False,
    "validating": False,
    "keeping weights": False,
    "testing": False,
    "probing batch norms": False,
    "timing steps": True,
    "timing predictions": True,
    "timing single requests": True,
    "measuring energy": True,
    "measuring the device": True,
    "ending": False,
}
MEASURED = frozenset(name for name, measured in PHASES.items() if measured)


def phase_tables(group: Group) -> tuple[Table, ...]:
    """A table for each backend that has records with phases; none for records of older schemas."""
    tables = (_table(group, backend) for backend in group.backends)
    return tuple(table for table in tables if table is not None)


def _table(group: Group, backend: str) -> Table | None:
    """Seconds of each phase of the models on a backend; None if no record has them."""
    records = {group.label(line): _with_phases(group.of(line, backend)) for line in group.lines}
    columns = {label: _means(of_line) for label, of_line in records.items() if of_line}
    if not columns:
        return None
    known = [name for name in PHASES if any(name in means for means in columns.values())]
    unknown = sorted({name for means in columns.values() for name in means} - PHASES.keys())
    rows = [(Entry(name), *_seconds(columns, (name,))) for name in (*known, *unknown)]
    rows.append((Entry("all"), *_seconds(columns, (*known, *unknown))))
    rows.append((Entry("of it measured, %"), *map(_measured_share, (*columns.values(), _sum(columns)))))
    every = [record for of_line in records.values() for record in of_line]
    return Table(_title(backend, every, len(group.machines)), _headings(columns), tuple(rows))


def _headings(columns: Mapping[str, object]) -> tuple[Column, ...]:
    return (words("phase"), *map(figures, columns), figures("all"))


def _with_phases(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.ok and record.phases]


def _means(records: Sequence[Record]) -> dict[str, float]:
    """The mean seconds of each phase over the records; one that a record lacks took none of its time."""
    names = dict.fromkeys(name for record in records for name in record.phases)
    return {name: sum(r.phases.get(name, 0.0) for r in records) / len(records) for name in names}


def _title(backend: str, records: Sequence[Record], machines: int) -> str:
    """The table's title, with how many of the cells were spared something, and how many machines ran them."""
    warm = sum("warm" in str(record.environment.get("compilation_cache")) for record in records)
    later = sum(bool(record.environment.get("process", {}).get("cells_before")) for record in records)
    notes = [f"{warm} of {len(records)} cells from a warm compilation cache"] if warm else []
    notes += [f"{later} of {len(records)} cells after others in one process"] if later else []
    notes += [f"cells of {machines} machines"] if machines > 1 else []
    return f"Where the time goes on {backend} ({'; '.join(['s', *notes])})"


def _seconds(columns: Mapping[str, dict[str, float]], names: Sequence[str]) -> list[Entry]:
    """The seconds of these phases together, in each column and in all."""
    sums = [sum(means.get(name, 0.0) for name in names) for means in columns.values()]
    return [number(seconds, 1) for seconds in (*sums, sum(sums))]


def _sum(columns: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """The columns as one: the seconds of each phase in all of them."""
    names = {name for means in columns.values() for name in means}
    return {name: sum(means.get(name, 0.0) for means in columns.values()) for name in names}


def _measured_share(means: Mapping[str, float]) -> Entry:
    measured, whole = sum(seconds for name, seconds in means.items() if name in MEASURED), sum(means.values())
    return number(100 * measured / whole if whole else None, 0)
