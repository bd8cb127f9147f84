"""The rows of what logs hold: all that is known of a field of a line beside its type. Checks and documents follow.

A shape is a TypedDict or a data class, each part of which is annotated with its `Field`, or a class of settings, whose
rows say the same of them. `fits` checks a value against a shape, `rows` lists the fields within one.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from bcdl.settings.setting import Setting

Path = tuple[str, ...]  # the names that lead to a field, from the line on; ENTRY for each entry of a list
ENTRY = "[]"


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
            return typing.get_args(hint)[0], Field(part.help + older, _READ_AS[part.within_table], since=part.since)
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


@functools.cache
def fits(shape: Any) -> Callable[[Any], bool]:
    """A test whether a JSON value is of the type `shape`: a TypedDict, list, dict, union or simple type."""
    if shape is Any:
        return lambda value: True
    if typing.is_typeddict(shape):
        required = shape.__required_keys__
        parts = {key: fits(hint) for key, hint in typing.get_type_hints(shape).items()}
        return lambda value: (
            isinstance(value, dict)
            and required <= value.keys()
            and all(part(value[key]) for key, part in parts.items() if key in value)
        )
    if typing.get_origin(shape) is list:
        each = _all_fit(typing.get_args(shape)[0])
        return lambda value: isinstance(value, list) and each(value)
    if typing.get_origin(shape) is dict:
        each = _all_fit(typing.get_args(shape)[1])
        return lambda value: isinstance(value, dict) and each(value.values())
    if isinstance(shape, types.UnionType) and not _scalar_types(shape):
        some = [fits(part) for part in typing.get_args(shape)]
        return lambda value: any(fit(value) for fit in some)
    each = _all_fit(shape)
    return lambda value: each((value,))


def _all_fit(shape: Any) -> Callable[[Collection[Any]], bool]:
    """A test whether all JSON values of a collection are of the type `shape`; without a call for each simple value."""
    kinds = _scalar_types(shape)
    if not kinds:
        each = fits(shape)
        return lambda values: all(map(each, values))
    if kinds & {int, float}:
        # None and 0 need no further look; integers too large for a float raise OverflowError.
        return lambda values: kinds.issuperset(map(type, values)) and all(map(math.isfinite, filter(None, values)))
    return lambda values: kinds.issuperset(map(type, values))


def _scalar_types(shape: Any) -> frozenset[type]:
    """The types that a simple JSON value may have to be of the type `shape`; empty if that is no simple type."""
    parts = typing.get_args(shape) if isinstance(shape, types.UnionType) else (shape,)
    integers: set[type] = {int} if float in parts else set()
    return frozenset(integers.union(parts)) if set(parts) <= {str, int, float, bool, types.NoneType} else frozenset()
