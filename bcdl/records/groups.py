"""Records sorted into groups that may stand in one table."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.settings.models import MODELS
from bcdl.settings.words import line_words, title_words
from bcdl.text import LONGEST_NAME, UNSAFE


class ParityVerdicts(Protocol):
    """What a report asks of parity about the records of a group."""

    def mark(self, machine: str, records: Sequence[Record], others: Sequence[Record]) -> str:
        """The sign of figures whose backend differs from another, or was never compared with it; else nothing."""

    def among(self, machine: str, records: Sequence[Record]) -> str:
        """One verdict for all backends of one model."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A model started from certain weights and trained in a certain way: a line of every table, a series of every plot.

    `training` says in words what was chosen otherwise than usual; empty where nothing was.
    """

    model: str
    weights: str
    training: str = ""

    @classmethod
    def of(cls, cell: Cell) -> Line:
        """The line that the cell's record stands in."""
        return cls(cell.model, cell.weights, line_words(cell))

    @property
    def title(self) -> str:
        return MODELS[self.model].title if self.model in MODELS else self.model

    @property
    def start(self) -> str:
        """What the backbone started from, and how it was trained if not as usual."""
        weights = {"none": "random", "imagenet": "ImageNet"}.get(self.weights, f"file {self.weights}")
        return f"{weights}; {self.training}" if self.training else weights


@dataclasses.dataclass(frozen=True)
class Group:
    """Records that may stand in one table, the newest of each cell; what is known of their backends' parity.

    Attributes:
        machine, checksum, records, verdicts: as above; the checksum is that of the data. Without verdicts
            nothing is known of the backends' parity.
        apart: in words, other facts that set it apart, if other groups have the same machine, data and settings.
        late: those facts, unless it is the oldest of such groups, whose files keep the name that they had at first.
    """

    machine: str
    checksum: str
    records: tuple[Record, ...]
    verdicts: ParityVerdicts | None = None
    apart: str = ""
    late: _Pairs = ()

    @property
    def first(self) -> Record:
        """A record to read the common settings from; one that ran, where there is one."""
        return next((record for record in self.records if record.ok), self.records[0])

    @property
    def synthetic(self) -> bool:
        return bool(self.first.dataset.get("synthetic"))

    @property
    def slug(self) -> str:
        """A file name for the group: readable, and made unique by a digest of the whole key."""
        cell = self.first.cell
        key = (self.machine, self.checksum, *_Place.of(self.machine, self.first).settings, *self.late)
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:6]
        settings = f"{cell.image_size}px-b{cell.batch_size}-{cell.precision}"
        parts = (cell.data, cell.profile, settings)
        return re.sub(UNSAFE, "_", "-".join(part[:LONGEST_NAME] for part in parts) + f"-{digest}")

    @property
    def mark(self) -> str:
        """What titles of its figures begin with: a warning if one patient's images are on both sides."""
        return "LEAKY: " if self.first.cell.split_by == "image" else ""

    @property
    def title(self) -> str:
        """One line that says what was run; synthetic data is called so."""
        cell = self.first.cell
        kind = " (synthetic drawings)" if self.synthetic else ""
        apart = f", {self.apart}" if self.apart else ""
        return f"{cell.data}{kind}, {title_words(cell)}{apart}"

    @functools.cached_property
    def lines(self) -> list[Line]:
        """The models and weights there are, in the order of the model table."""
        found = {Line.of(record.cell) for record in self.records}
        order = {name: place for place, name in enumerate(MODELS)}
        return sorted(found, key=lambda line: (order.get(line.model, len(order)), dataclasses.astuple(line)))

    @functools.cached_property
    def backends(self) -> list[str]:
        return sorted({record.cell.backend for record in self.records})

    def label(self, line: Line) -> str:
        """The line's name, with its start if the model stands in the group with several."""
        same = [other for other in self.lines if other.model == line.model]
        parts = [line.title]
        if len({other.weights for other in same}) > 1:
            parts.append(dataclasses.replace(line, training="").start.split()[0])
        if len({other.training for other in same}) > 1:
            parts.append(line.training or "as usual")
        return ", ".join(parts)

    def of(self, line: Line, backend: str) -> list[Record]:
        """The line's records on a backend, one a fold and seed."""
        found = [r for r in self.records if r.cell.backend == backend and Line.of(r.cell) == line]
        return sorted(found, key=lambda record: (record.cell.seed, record.cell.fold))

    def draws(self, line: Line) -> list[str]:
        """The seeds and folds that the line was run with on any backend, in words."""
        found = {(r.cell.seed, r.cell.fold): r.cell.draw for r in self.records if Line.of(r.cell) == line}
        return [found[place] for place in sorted(found)]

    @property
    def not_run(self) -> list[str]:
        """What was run on some backend and not on another, in words."""
        found = []
        for line in self.lines:
            draws = self.draws(line)
            for backend in self.backends:
                run = [record.cell.draw for record in self.of(line, backend)]
                which = [draw for draw in draws if draw not in run] if run else [""]
                found += [", ".join(filter(None, (f"{self.label(line)} on {backend}", draw))) for draw in which]
        return found

    def ran(self) -> Iterator[tuple[Line, str, Record]]:
        """The records that are ok, each with its line and backend, in the order of the tables."""
        for line in self.lines:
            for backend in self.backends:
                yield from ((line, backend, record) for record in self.of(line, backend) if record.ok)

    def ok_records(self, line: Line) -> list[Record]:
        """The line's records that are ok, on all backends."""
        return [record for other, _, record in self.ran() if other == line]

    @property
    def failures(self) -> list[Record]:
        return [record for record in self.records if not record.ok]


def group_records(records: Sequence[tuple[str, Record]], verdicts: ParityVerdicts | None = None) -> list[Group]:
    """Records (oldest first, each with its machine) as groups, each cell by its newest record.

    A failed record may not know its data; it joins the newest group of its machine and settings.
    """
    placed = [(_Place.of(machine, record), record) for machine, record in records]
    newest = {place.settings_here: place for place, _ in placed if place.checksum}
    cells: dict[_Place, dict[str, Record]] = {}
    for place, record in placed:
        joined = place if place.checksum else newest.get(place.settings_here, place)
        cells.setdefault(joined, {})[record.cell.id] = record
    groups = [group for alike in _alike(cells) for group in _told_apart(alike, cells, verdicts)]
    return sorted(groups, key=lambda group: (group.synthetic, group.title, group.machine))


_Pairs = tuple[tuple[str, Hashable], ...]
_NONE_KNOWN: _Pairs = (("others", None),)


@dataclasses.dataclass(frozen=True)
class _Place:
    """What all records of a group have in common: the key of `comparability` for tables, in four parts."""

    machine: str
    checksum: str
    settings: _Pairs
    others: _Pairs

    @classmethod
    def of(cls, machine: str, record: Record) -> _Place:
        key = comparability.key(Evidence.of(record, machine), Purpose.TABLE)
        own = record.cell.to_dict().keys()
        settings = tuple(pair for pair in key if pair[0] in own)
        others = tuple(pair for pair in key if pair[0] not in (*own, "machine", "images"))
        return cls(machine, str(dict(key).get("images", "")), settings, others)

    @property
    def settings_here(self) -> tuple[str, _Pairs]:
        return self.machine, self.settings


def _alike(places: Iterable[_Place]) -> list[list[_Place]]:
    """The places that differ in nothing that a group's title or its files' names say of a lone one; oldest first."""
    alike: dict[tuple[object, ...], list[_Place]] = {}
    for place in places:
        alike.setdefault((place.machine, place.checksum, place.settings), []).append(place)
    return list(alike.values())


def _told_apart(
    alike: Sequence[_Place], cells: Mapping[_Place, Mapping[str, Record]], verdicts: ParityVerdicts | None
) -> Iterator[Group]:
    """The groups of those places, each with what sets it apart from the others."""
    facts = [dict(place.others) for place in alike]
    names = dict.fromkeys(name for of_place in facts for name in of_place)
    differing = [name for name in names if len({of_place.get(name) for of_place in facts}) > 1]
    for place, of_place in zip(alike, facts, strict=True):
        apart = ", ".join(f"{name} {of_place.get(name, 'unknown')}" for name in differing)
        late = () if place is alike[0] else place.others or _NONE_KNOWN
        yield Group(place.machine, place.checksum, tuple(cells[place].values()), verdicts, apart, late)
