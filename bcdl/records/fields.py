"""The rows of what logs hold: all that is known of a field of a line beside its type. Checks and documents follow.

A shape is a TypedDict or a data class, each part of which is annotated with its `Field`, or a class of settings, whose
rows say the same of them. `bcdl.records.checks` holds a value to a shape, `rows` lists the fields within one.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from bcdl.settings.setting import Setting

Path = tuple[str, ...]  # the names that lead to a field, from the line on; ENTRY for each entry of a list
ENTRY = "[]"
MOMENT = "UTC, ISO 8601"  # the unit of a text that is a moment


class Range(NamedTuple):
    """The least and the largest number that a field may hold."""

    least: float
    most: float


LARGEST = 1e30  # of numbers without a unit; squares and products of such ones are finite still
LARGEST_WHOLE = 2**53  # up to it, a float holds every whole number exactly
_YEARS_S = 10 * 365.25 * 24 * 3600  # ten years: nothing that is measured here takes longer
# What numbers of a unit may be. Whatever is measured lies well within; what does not was torn, edited or miscounted.
RANGES = {
    "": Range(0, LARGEST),  # counts, ratios, errors
    "s": Range(0, _YEARS_S),
    "ms": Range(0, 1000 * _YEARS_S),
    "share": Range(0, 1 + 1e-9),  # a sum of parts may round to a little more than the whole
    "nats": Range(0, LARGEST),
    "images/s": Range(1e-9, 1e15),
    "operations/s": Range(1, 1e24),
    "operations": Range(0, 1e24),
    "bytes/s": Range(1, 1e24),
    "bytes": Range(0, LARGEST_WHOLE),
    "KiB": Range(0, 2**43),
    "MiB": Range(0, 2**43),
    "J/image": Range(0, 1e9),
    "W": Range(0, 1e6),
    "MHz": Range(0, 1e6),
    "°C": Range(-100, 1000),
    "cores": Range(0, 1e6),
    "lanes": Range(0, 1024),
    "pixels": Range(1, 2**31),
    "`unit`": Range(1e-9, 1e15),
}


@dataclasses.dataclass(frozen=True)
class Field:
    """A row: all that is known of one field beside its name and type.

    Attributes:
        what: what it is.
        why: why it is there: what a reader could not know, or would mistake, without it.
        unit: of its numbers; empty if they have none, or if it has none.
        since: the first schema of lines that may have it.
        only: in which lines it is; empty if it is in all.
        keys: what the names of its entries stand for, if it is a dict of entries that are alike: a key of `KEYS` in
            `bcdl.records.shapes` for each dict within the other.
        entries: its entries by name, if it is a dict of entries that are not; a name may hold a key between < and >.
        shape: the type that readers rely on, if it is narrower than that of the attribute.
        least: the least of its numbers, if it is another than that of its unit.
        most: the largest of its numbers, likewise.
        choices: all that its texts may be; empty if they may be anything.
    """

    what: str
    why: str
    _: dataclasses.KW_ONLY
    unit: str = ""
    since: int = 1
    only: str = ""
    keys: tuple[str, ...] = ()
    entries: Mapping[str, Field] = dataclasses.field(default_factory=dict)
    shape: Any = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> Range:
        """What its numbers may be."""
        usual = RANGES.get(self.unit, RANGES[""])
        return Range(usual.least if self.least is None else self.least, usual.most if self.most is None else self.most)


@dataclasses.dataclass(frozen=True)
class Row:
    """A field at its place.

    Attributes:
        path: the names that lead to it; a name may hold a key between < and >.
        hint: its type; of a dict of entries that are alike, that of an entry.
        field: its row.
        since: the first schema that has it, and all that it is a part of.
        only: the conditions under which it is there, those of what it is a part of first.
    """

    path: Path
    hint: Any
    field: Field
    since: int
    only: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path as text: `predictions.<split>.scores`."""
        return ".".join(self.path).replace(f".{ENTRY}", ENTRY)


@functools.cache
def of(shape: Any) -> dict[str, tuple[Any, Field]]:
    """The type and the row of each field of a shape, by name, in order.

    Raises:
        TypeError: a field has no row.
    """
    hints = typing.get_type_hints(shape, include_extras=True)
    return {name: _typed(name, hint) for name, hint in hints.items()}


def _typed(name: str, hint: Any) -> tuple[Any, Field]:
    for part in typing.get_args(hint)[1:]:
        if isinstance(part, Field):
            kind = typing.get_args(hint)[0]
            return (kind if part.shape is None else part.shape), part
        if isinstance(part, Setting):
            older = f"; `{json.dumps(part.before)}` in older records" if part.since > 1 else ""
            most = math.inf if part.most is None else part.most  # as its row has it, and no other
            field = Field(part.help + older, _READ_AS[part.within_table], since=part.since, least=part.least, most=most)
            return typing.get_args(hint)[0], field
    raise TypeError(f"{name} has no row; write it as {name}: Annotated[TYPE, Field(...)]")


# Why a record holds a setting is what readers do with it.
_READ_AS = {
    "same": "figures depend on it: one table holds cells of one value",
    "line": "figures depend on it: each value is a line of the tables",
    "column": "figures depend on it: each value is a column of the tables",
    "draw": "chance decides it: figures are summed up over its values",
}


def shapes(shape: Any) -> dict[str, Any]:
    """The types that readers of a line rely on, by the names of its fields."""
    return {name: hint for name, (hint, _) in of(shape).items()}


_LINE = Row((), dict[str, Any], Field("the line", "it is what is described"), since=1, only=())


def rows(shape: Any, elsewhere: Collection[Any] = (), within: Row = _LINE) -> Iterator[Row]:
    """Every field of a shape at its place, and after it those within it; not those of shapes described `elsewhere`."""
    for name, (hint, field) in of(shape).items():
        yield from _rows(name, hint, field, elsewhere, within)


def _rows(name: str, hint: Any, field: Field, elsewhere: Collection[Any], within: Row) -> Iterator[Row]:
    path = (*within.path, name)
    for key in field.keys:
        path, hint = (*path, f"<{key}>"), typing.get_args(hint)[1]
    only = (*within.only, field.only) if field.only else within.only
    row = Row(path, hint, field, max(within.since, field.since), only)
    yield row
    for entry, described in field.entries.items():
        yield from _rows(entry, typing.get_args(hint)[1], described, elsewhere, row)
    shape = part_of(hint)
    if shape is not None and shape not in elsewhere:
        entries = typing.get_origin(hint) is list
        yield from rows(shape, elsewhere, dataclasses.replace(row, path=(*path, ENTRY)) if entries else row)


def part_of(hint: Any) -> Any:
    """The shape that a value of the type is, may be or is a list of; None if it has none."""
    parts = (hint, *typing.get_args(hint)) if typing.get_origin(hint) is not dict else ()
    return next((part for part in parts if typing.is_typeddict(part) or dataclasses.is_dataclass(part)), None)
