"""The newest rates as JSON for github-action-benchmark, its tool `customBiggerIsBetter`.

That is an array of objects with `name`, `unit`, `value` and, as strings of any form, `range` and `extra`
(https://github.com/benchmark-action/github-action-benchmark, README.md, "Examples", and `BenchmarkResult` in
src/extract.ts). The action holds a value against the one of the same name of an earlier commit. So a name says all that
sets a rate apart, and nothing that a commit changes; and a value is of the newest code and versions alone.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bcdl.machine.provenance import short_commit
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Key, Purpose
from bcdl.records.groups import Line
from bcdl.records.record import Record
from bcdl.report import doubt_lines
from bcdl.report.formats import fixed
from bcdl.settings.words import title_words
from bcdl.statistics import doubts, steadiness
from bcdl.statistics.comparison import RATES
from bcdl.text import legible

_UNIT = "images/s"
_MOST_DIGITS = 2  # of an images/s in words


class _Series(NamedTuple):
    """What one name stands for: a cell but for its seed, on one machine, with one set of images."""

    table: Key
    line: Line
    backend: str


def text(records: Sequence[tuple[str, Record]]) -> str:
    """The whole JSON: an entry for each cell and regime that has a rate."""
    entries = [entry for series, processes in _newest(records).items() for entry in _entries(series, processes)]
    _make_unique(entries)
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _newest(records: Sequence[tuple[str, Record]]) -> dict[_Series, list[tuple[str, Record]]]:
    """The processes of each series that agree with its newest one in all that rates must agree in."""
    by_series: dict[_Series, list[tuple[str, Record]]] = {}
    for machine, record in records:
        if record.ok:
            table = comparability.key(Evidence.of(record, machine), Purpose.TABLE)
            series = _Series(table, Line.of(record.cell), record.cell.backend)
            by_series.setdefault(series, []).append((machine, record))
    return {series: _alike(processes) for series, processes in by_series.items()}


def _alike(processes: list[tuple[str, Record]]) -> list[tuple[str, Record]]:
    keys = [comparability.key(Evidence.of(record, machine), Purpose.RATES) for machine, record in processes]
    return [process for process, key in zip(processes, keys, strict=True) if key == keys[-1]]


def _entries(series: _Series, processes: Sequence[tuple[str, Record]]) -> Iterator[dict[str, str | float]]:
    machine, newest = processes[-1]
    for regime in RATES:
        timed = [record for _, record in processes if record.value(f"{regime}_images_per_s") > 0]
        if timed:
            rates = [record.value(f"{regime}_images_per_s") for record in timed]
            yield {
                "name": legible(f"{_title(series, newest)}, {machine}: {regime}"),
                "unit": _UNIT,
                "value": statistics.median(rates),
                "range": _range(rates, timed[-1], regime),
                "extra": legible(_extra(timed, regime)),
            }


def _title(series: _Series, record: Record) -> str:
    cell = record.cell
    return f"{series.line.title} on {series.backend}, {series.line.start}, {cell.data}, {title_words(cell)}"


def _range(rates: Sequence[float], record: Record, regime: str) -> str:
    """From where to where processes give rates or, if there is one alone, its samples."""
    low, high = min(rates), max(rates)
    if len(rates) == 1:
        seconds = record.samples[f"{regime}_s"]
        shortest, longest = steadiness.ends(seconds)
        middle = statistics.median(seconds)
        low, high = rates[0] * middle / longest, rates[0] * middle / shortest
    return f"{fixed(low, _MOST_DIGITS)} to {fixed(high, _MOST_DIGITS)}"


def _extra(timed: Sequence[Record], regime: str) -> str:
    """Of how many processes it is, of which code and versions, and what makes it doubtful; a line."""
    newest = timed[-1]
    versions = comparability.versions(newest.environment, newest.cell.device) or {}
    number = len(timed)
    parts = [
        f"median of {number} processes" if number > 1 else "one process",
        f"commit {short_commit(newest.environment)}",
        ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        *doubt_lines.lines({regime: [doubts.every(record, regime) for record in timed]}),
    ]
    return "; ".join(filter(None, parts))


def _make_unique(entries: list[dict[str, str | float]]) -> None:
    """Number names that stand there several times, in the order in which they were first recorded.

    What sets them apart is no setting, as another set of images of the same name.
    """
    seen: Counter[str] = Counter()
    for entry in entries:
        name = str(entry["name"])
        seen[name] += 1
        if seen[name] > 1:
            entry["name"] = f"{name} ({seen[name]})"
