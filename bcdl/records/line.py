"""A line of a log: a JSON object that names its schema."""

from __future__ import annotations

import json
from typing import Any

MOST_COUNT = 10**9  # of a line in its log; a larger one would stay the newest for ever
# What code that lifts a line from an older schema, or checks it, may raise if the values are not what they should be.
MISFITS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


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
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a line of JSON ({error}); it was torn or edited") from error
    if not isinstance(values, dict) or not (here := schema_of(values)):
        raise ValueError(f"a line without a schema number; it is not {what} of bcdl")
    if here > schema:
        raise ValueError(f"schema {here} is newer than this bcdl reads ({schema}); update bcdl")
    if isinstance(count := values.get("sequence"), int) and count > MOST_COUNT:
        raise ValueError(f"{what} whose sequence {str(count)[:20]} is more than a log can have ({MOST_COUNT})")
    if "\\u" in line:
        try:
            json.dumps(values, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError) as error:
            raise ValueError(f"{what} whose fields do not fit schema {here} ({error})") from error
    return values


def schema_of(values: dict[str, Any]) -> int:
    """The schema that a line names; 0 if it names none."""
    schema = values.get("schema")
    return schema if isinstance(schema, int) and not isinstance(schema, bool) else 0
