"""Lines that say what makes rates doubtful, for the notes of tables and the captions of plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bcdl.records.moment import MOST_S
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.statistics.doubts import Doubt

_MOST_DETAILS = 3  # of one place, in a line


def lines(doubted: Mapping[str, Sequence[Sequence[Doubt]]]) -> list[str]:
    """A line for each kind of doubt, with the places where it is found; none if there is no doubt.

    Args:
        doubted: by place, in words, the doubts of each record there.
    """
    places: dict[str, list[str]] = {}
    for place, of_records in doubted.items():
        for what in dict.fromkeys(doubt.what for doubts in of_records for doubt in doubts):
            named = [doubt for doubts in of_records for doubt in doubts if doubt.what == what]
            places.setdefault(what, []).append(f"{place} ({_details(named, len(of_records))})")
    return [f"{what}: {'; '.join(where)}" for what, where in places.items()]


def _details(named: Sequence[Doubt], records: int) -> str:
    """The readings of doubts of one kind at one place, and of how many of its records they are."""
    shown = list(dict.fromkeys(formats.reading(doubt.reading, doubt.unit) for doubt in named))
    more = [f"{len(shown) - _MOST_DETAILS} more"] if len(shown) > _MOST_DETAILS else []
    count = [f"{len(named)} of {records}"] if records > 1 else []
    return ": ".join([*count, ", ".join([*shown[:_MOST_DETAILS], *more])])


def notes(records: Sequence[Record]) -> list[str]:
    """What records note of how they were measured, a line for each note on a backend, with the number of cells."""
    noted: dict[str, int] = {}
    for record in records:
        for note in record.environment.get("notes", ()):
            line = f"{record.cell.backend}: {note}"
            noted[line] = noted.get(line, 0) + 1
    return [f"{line} ({count} cells)" if count > 1 else line for line, count in noted.items()]


def clock_lines(environment: Mapping[str, Any]) -> list[str]:
    """How a record's environment says that its time of day was set; none if it was not."""
    clock = environment.get("clock", {})
    jumped, behind = clock.get("jumped_s", 0.0), clock.get("behind_s", 0.0)
    said = []
    if abs(jumped) > MOST_S:
        direction = "forward" if jumped > 0 else "back"
        said.append(f"the clock was set {direction} by {formats.reading(abs(jumped), 's')} while it ran")
    if behind > MOST_S:
        said.append(f"the clock was {formats.reading(behind, 's')} behind an earlier record when its run began")
    return said
