"""Holds a line of a log to the rows of its shape: what it has that none describes, and what it lacks that one does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from bcdl.records.fields import ENTRY, Path, Row, rows
from bcdl.records.shapes import KEYS


def undescribed(line: dict[str, Any], shape: Any, schema: int | None = None) -> list[str]:
    """The fields of the line, a JSON object, that no row describes; with a schema, that none of that schema does."""
    described = [row for row in rows(shape) if schema is None or row.since <= schema]
    found = set(_leaves(line)) - {("schema",), ("sha256",)}
    return sorted(".".join(path) for path in found if not any(_describes(row, path) for row in described))


def absent(line: dict[str, Any], shape: Any, holding: Collection[str] = (), schema: int | None = None) -> list[str]:
    """The rows of fields that the line lacks although it should have them.

    Args:
        line: a JSON object.
        shape: whose rows to hold it to.
        holding: the conditions (`only`) that hold of the line.
        schema: if given, rows that came later need not be there.
    """
    found = {path[:length] for path in _leaves(line) for length in range(1, len(path) + 1)}
    wanted = [row for row in rows(shape) if set(row.only) <= set(holding) and (schema is None or row.since <= schema)]
    return [row.name for row in wanted if not any(_matches(row.path, path) for path in found)]


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value that holds no others by name."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, (*path, name))
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        for part in value:
            yield from _leaves(part, (*path, ENTRY))
    else:
        yield path


def _describes(row: Row, path: Path) -> bool:
    """Whether it is the row of the field at the path, or of one whose parts may be anything."""
    anything = row.hint in (Any, list[Any])
    return _matches(row.path, path[: len(row.path)] if anything else path)


def _matches(described: Path, path: Path) -> bool:
    return len(described) == len(path) and all(map(re.fullmatch, map(_pattern, described), path))


def _pattern(name: str) -> str:
    """A regular expression of the names that a described name stands for."""
    return re.sub(r"<(\w+)>", lambda key: f"(?:{'|'.join(KEYS[key[1]][1]) or '.+'})", re.escape(name))
