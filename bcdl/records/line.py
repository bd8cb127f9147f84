"""A line of a log: a JSON object that names its schema."""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from typing import Any

MOST_COUNT = 10**9  # of a line in its log; a larger one would stay the newest for ever
# What code that lifts a line from an older schema, or checks it, may raise if the values are not what they should be.
MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
# Half of a surrogate pair, as only an escape can write it; a whole pair is two of them.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_KEY = re.compile(r'"([a-z_0-9]+)": ')
_decoder = json.JSONDecoder()
# Parts that many lines of a log have in common, to the letter, and how many of each are remembered.
SHARED, REMEMBERED = ("dataset", "model", "weights", "environment"), 32
# The last texts of each part, with what they were parsed to.
_RECENT: dict[str, deque[tuple[str, Any]]] = {name: deque(maxlen=REMEMBERED) for name in SHARED}
_LONGEST = 2**16  # letters of a part that is kept


def parse_object(line: str, schema: int, what: str) -> dict[str, Any]:
    """The JSON object on a line of a log.

    Args:
        line: without its end.
        schema: the newest that the caller reads.
        what: what the line should be, for messages: "a record", "an experiment", "a parity finding".

    Raises:
        ValueError: the line is no JSON object with a schema number, a newer bcdl wrote it, or it holds half of a
            surrogate pair, which no file can; the message says which.
    """
    try:
        values = _sharing(line, schema)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a line of JSON ({error}); it was torn or edited") from error
    if not isinstance(values, dict) or not (here := schema_of(values)):
        raise ValueError(f"a line without a schema number; it is not {what} of bcdl")
    if here > schema:
        raise ValueError(f"schema {here} is newer than this bcdl reads ({schema}); update bcdl")
    if isinstance(count := values.get("sequence"), int) and count > MOST_COUNT:
        raise ValueError(f"{what} whose sequence {str(count)[:20]} is more than a log can have ({MOST_COUNT})")
    if _SURROGATE.search(line):
        try:
            json.dumps(values, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError) as error:
            raise ValueError(f"{what} whose fields do not fit schema {here} ({error})") from error
    return values


def schema_of(values: dict[str, Any]) -> int:
    """The schema that a line names; 0 if it names none."""
    schema = values.get("schema")
    return schema if isinstance(schema, int) and not isinstance(schema, bool) else 0


def _sharing(line: str, schema: int) -> Any:
    """As `json.loads`; parts that many lines have in common are one object, which nobody may change.

    That spares time and memory, and takes a line of the schema, spelt as bcdl spells it: older ones are upgraded in
    place.
    """
    values: dict[str, Any] = {}
    place = 1 if line.startswith(f'{{"schema": {schema}, ') else len(line)
    while (key := _KEY.match(line, place)) and key[1] not in values:
        try:
            values[key[1]], end = _part(key[1], line, key.end())
        except ValueError:
            break
        if end == len(line) - 1 and line[end] == "}":
            return values
        place = end + 2 if line.startswith(", ", end) else len(line)
    return json.loads(line)


def _part(name: str, line: str, start: int) -> tuple[Any, int]:
    """The value of that name, which begins at that place of the line, and where it ends; ValueError if none does."""
    recent = _RECENT.get(name, ())
    for text, value in tuple(recent):
        if line.startswith(text, start):  # an object's text ends with its last bracket, whatever follows
            return value, start + len(text)
    value, end = _decoder.raw_decode(line, start)
    if isinstance(value, dict):
        value = dict(zip(map(sys.intern, value), value.values(), strict=True))  # or each line has names of its own
    if isinstance(recent, deque) and isinstance(value, dict) and end - start <= _LONGEST:
        recent.append((line[start:end], value))
    return value, end
