"""Write docs/records.md anew, from the rows of what logs hold: `python -m bcdl.report.record_fields`."""

from __future__ import annotations

import itertools
import math
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bcdl.errors import UsageError, run_command
from bcdl.parity import findings
from bcdl.parity.findings import Finding
from bcdl.records import experiment, identity, schema
from bcdl.records.experiment import Experiment
from bcdl.records.fields import LARGEST_WHOLE, RANGES, Field, Row, rows
from bcdl.records.record import SEALED_SINCE, Record
from bcdl.records.shapes import KEYS, Environment, Listed
from bcdl.report.formats import plain
from bcdl.report.sections.phases import PHASES
from bcdl.settings.cell import Cell

DOCUMENT = Path(__file__).parents[2] / "docs" / "records.md"

_INTRODUCTION = """\
# What a record holds

<!-- made from the rows that stand beside the fields, by python -m bcdl.report.record_fields; a change here is lost -->

A record is the outcome of one cell: a line of JSON in `results/records/<machine>/<run>.jsonl`. Beside it lie
[experiments](#an-experiment) in `results/experiments/` and [parity findings](#a-parity-finding) in `results/parity/`.
Lines are appended and never changed. Each names its schema; a line of an older one is read as one of today's (see
[the schemas](#the-schemas-of-records)).

- A field that is missing was not measured, or not known when the record was made; nothing is 0 for want of a
  measurement. `null` stands for a number that is not defined or not finite.
- In a record that is not ok, what the cell did not reach is empty.
- A record is the same wherever it stands and whatever its `sequence`: a copy counts once. So is one that was formatted
  anew, if its fields keep their order. A line whose `sha256` is not its own was edited, and is left out; so are two
  different records that claim one cell and start of one run, or the same raw samples.
- What follows from a record's own predictions, samples and history is computed again when it is read. A record whose
  figures do not follow is left out, with the name and both values, and `--resume` measures its cell again.
- *Since* is the first schema of lines that may have the field.
- A name of a metric ends in its unit, unless it is a share, a loss (nats) or an epoch.
- A line with a value that is not of its type, or out of its range, is left out, counted and named. A whole number is at
  most {largest}. What numbers of each unit may be, unless the field says otherwise:

{ranges}

What stands between `<` and `>` stands for several names:
"""
_TABLE = ("| field | type, unit | since | what it is | why it is there |", "| --- | --- | --- | --- | --- |")
_SCHEMA = Row(
    ("schema",), int, Field("the schema of the line", "readers know what to expect, and refuse what is newer"), 1, ()
)
_SHA256 = Row(
    (identity.SHA256,),
    str,
    Field(
        f"SHA-256 of the line before `{identity.SEQUENCE}`, closed by a brace; the last field",
        "it is the record's identity: a copy is known as one, and a line that was edited since is left out",
    ),
    SEALED_SINCE,
    (),
)
# What has a section of its own, and is not described again at each place that holds it.
_ELSEWHERE = {
    Cell: "as [`cell`](#cell) of a record",
    Environment: "as [`environment`](#environment) of a record",
    Listed: "a [counted list](#a-counted-list)",
}


def main() -> int:
    if not DOCUMENT.is_file():
        raise UsageError(f"there is no docs/{DOCUMENT.name} beside bcdl; run it in a checkout")
    DOCUMENT.write_text(document(), encoding="utf-8", newline="\n")
    return 0


def document() -> str:
    """The text of docs/records.md."""
    parts = [
        _INTRODUCTION.format(largest=LARGEST_WHOLE, ranges="\n".join(_ranges())),
        *_keys(),
        f"\n## A record\n\nSchema {schema.SCHEMA}. The line itself has these fields, and the parts below:\n",
        *_record(),
        f"\n## An experiment\n\nSchema {experiment.SCHEMA}. The same work measured in two ways in turn.\n",
        *_table([_SCHEMA, *rows(Experiment, _ELSEWHERE)]),
        f"\n## A parity finding\n\nSchema {findings.SCHEMA}. What the backends compute of one model.\n",
        *_table([_SCHEMA, *rows(Finding, _ELSEWHERE)]),
        "\n## The schemas of records\n",
        *_schemas(),
    ]
    return "\n".join(parts) + "\n"


def _ranges() -> Iterator[str]:
    yield from ("| unit | least | most |", "| --- | ---: | ---: |")
    for unit, (least, most) in RANGES.items():
        yield f"| {unit or 'none'} | {plain(least)} | {plain(most)} |"


def _keys() -> Iterator[str]:
    yield from ("| name | what it stands for | its values |", "| --- | --- | --- |")
    for name, (what, values) in KEYS.items():
        yield f"| `<{name}>` | {what} | {', '.join(f'`{value}`' for value in values)} |"


def _record() -> Iterator[str]:
    """The table of the plain fields, then a part for each field that holds others."""
    by_part = itertools.groupby(rows(Record, (Listed,)), key=lambda row: row.path[0])
    parts = {name: list(part) for name, part in by_part}
    plain = [part[0] for part in parts.values() if len(part) == 1 and len(part[0].path) == 1]
    yield from _table([_SCHEMA, *plain, _SHA256])
    for name, (whole, *within) in parts.items():
        if whole not in plain:
            yield f"\n### {name}\n\n{_sentence(whole)}\n"
            yield from _table(within or [whole], skip=1)
        if name == "phases":
            yield f"\nThe phases: {', '.join(PHASES)}."
        if name == "dataset":
            yield "\n#### A counted list\n"
            yield from _table(rows(Listed))


def _sentence(row: Row) -> str:
    field = row.field
    only = f" It is there {field.only}." if field.only else ""
    return f"{field.what[0].upper()}{field.what[1:]}. Why: {field.why}.{only}"


def _table(described: Iterable[Row], skip: int = 0) -> Iterator[str]:
    """A table of the rows, without the first `skip` names of their paths."""
    yield from _TABLE
    for row in described:
        name = Row(row.path[skip:], row.hint, row.field, row.since, row.only).name
        only = f"; only {row.field.only}" if row.field.only else ""
        what = f"{row.field.what}{only}".replace("](docs/", "](")  # a link from this folder
        kind = ", ".join(filter(None, (_kind(row.hint), row.field.unit, _own_range(row.field))))
        yield f"| `{name}` | {kind} | {row.since} | {what} | {row.field.why} |"


def _own_range(field: Field) -> str:
    """What its numbers may be, as far as its unit says another thing."""
    usual = RANGES.get(field.unit, RANGES[""])
    least = "" if field.least in (None, usual.least) else f"at least {plain(field.least)}"
    most = "" if field.most in (None, math.inf) else f"at most {plain(field.most)}"
    return ", ".join(filter(None, (least, most)))


_KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false", types.NoneType: "null", Any: "any"}


def _kind(hint: Any) -> str:
    """A type in words."""
    if hint in _ELSEWHERE:
        return _ELSEWHERE[hint]
    if isinstance(hint, types.UnionType):
        return " or ".join(map(_kind, typing.get_args(hint)))
    if typing.get_origin(hint) in (list, tuple):
        return f"list of: {_kind(typing.get_args(hint)[0])}"
    return _KINDS.get(hint, "object")


def _schemas() -> Iterator[str]:
    """What came with each schema, settings included."""
    for number in range(1, schema.SCHEMA + 1):
        came = [f"`{name}`" for name, row in Cell.rows().items() if row.since == number > 1]
        settings = f"settings of the cell: {', '.join(came)}" if came else ""
        yield f"- **{number}**: {'; '.join(filter(None, (schema.HISTORY.get(number, ''), settings)))}"


if __name__ == "__main__":
    run_command(main)
