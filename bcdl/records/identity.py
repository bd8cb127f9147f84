"""What makes a line of a log this one, wherever it stands and however often: copies count once, contradictions never.

A record's line ends in its count and the SHA-256 of all that stands before it. The count is no part of that: a record
that is added to another log gets another count and stays the same record.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

SHA256 = "sha256"  # the last field of a line
ADVICE = "restore the line from a copy, or measure again"  # about a line that was edited or damaged
SEQUENCE = "sequence"  # the one before it
_BEFORE_COUNT = f', "{SEQUENCE}": '
_END = re.compile(rf'{_BEFORE_COUNT}[0-9]+, "{SHA256}": "[0-9a-f]{{64}}"\}}\s*')


class Entry(Protocol):
    """What a line of a log is parsed to."""

    @property
    def run(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def environment(self) -> Mapping[str, Any]:
        """The machine that it was measured on."""

    @property
    def marks(self) -> Iterable[tuple[str, Hashable]]:
        """What no two different entries have in common: each as what it is, in words, and its value."""


T = TypeVar("T", bound=Entry)


def sealed(values: Mapping[str, Any], sequence: int) -> str:
    """The line of these values, which hold neither count nor digest, with its count and the digest of all else."""
    text = json.dumps(values, allow_nan=False)
    return f'{text[:-1]}{_BEFORE_COUNT}{sequence}, "{SHA256}": "{_digest(text)}"}}'


def check_seal(line: str, values: Mapping[str, Any]) -> None:
    """ValueError if the line was edited or damaged since it was written.

    A line whose white space, escapes or spelling of numbers alone are others is the same line.

    Args:
        line: of a log, by `sealed`.
        values: what it was parsed to.
    """
    if (stated := values.get(SHA256)) is None:
        raise ValueError(f"edited since it was written: it lacks its {SHA256}; {ADVICE}")
    if stated != _digest_as_written(line) and stated != _digest_of(values):  # the second takes as long as all else
        raise ValueError(f"edited since it was written: its {SHA256} is that of another content; {ADVICE}")


def _digest_as_written(line: str) -> str:
    """The digest of the line as it stands; empty if it does not end as `sealed` ends a line."""
    start = line.rfind(_BEFORE_COUNT)
    return _digest(line[:start] + "}") if start > 0 and _END.fullmatch(line, start) else ""


def _digest_of(values: Mapping[str, Any]) -> str:
    """The digest of the values, however they were formatted."""
    return _digest(json.dumps({name: value for name, value in values.items() if name not in (SEQUENCE, SHA256)}))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class LogLine(Generic[T]):
    """A line that could be read, and where it stands.

    Attributes:
        file: as messages name it.
        number: of the line, from 1.
        machine: the folder of the file.
        entry: what the line was parsed to.
    """

    file: str
    number: int
    machine: str
    entry: T

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}"


class Distinct(Generic[T]):
    """The different entries among lines, each once.

    Args:
        lines: the earlier first.
        home: the less it gives of a line, the sooner this one of several copies is kept.

    Attributes:
        kept: the lines that count, in their order.
        copies: those that do not, each with the kept one whose entry it repeats.
        contradictions: those of different entries that have a mark in common, each with the reason. Nobody knows which
            of them was measured, so that none counts.
    """

    def __init__(self, lines: Iterable[LogLine[T]], home: Callable[[LogLine[T]], Any] = lambda line: 0) -> None:
        self._first_with: dict[tuple[str, Hashable], LogLine[T]] = {}
        self.contradictions: dict[LogLine[T], str] = {}
        same: dict[LogLine[T], list[LogLine[T]]] = {}
        for line in lines:
            if (first := self.like(line.entry)) is not None:
                same[first].append(line)
            else:
                same[line] = [line]
                self._add(line)
        self.kept: list[LogLine[T]] = []
        self.copies: list[tuple[LogLine[T], LogLine[T]]] = []
        for first, equal in same.items():
            if first in self.contradictions:
                self.contradictions |= dict.fromkeys(equal, self.contradictions[first])
            else:
                best = min(equal, key=home)
                self.kept.append(best)
                self.copies += [(line, best) for line in equal if line is not best]

    def like(self, entry: T) -> LogLine[T] | None:
        """The first line of an equal entry; None if there is none."""
        firsts = (self._first_with.get(mark) for mark in entry.marks)
        return next((first for first in firsts if first is not None and first.entry == entry), None)

    def _add(self, line: LogLine[T]) -> None:
        """Add the line of a new entry, which contradicts each that has one of its marks."""
        for mark in line.entry.marks:
            first = self._first_with.setdefault(mark, line)
            if first is not line:
                self.contradictions.setdefault(first, _reason(mark, line))
                self.contradictions.setdefault(line, _reason(mark, first))


def _reason(mark: tuple[str, Hashable], other: LogLine[Any]) -> str:
    return (
        f"it and {other} differ, but are of {mark[0]}, so that neither counts: nobody knows which of them was "
        "measured; remove the false one"
    )
