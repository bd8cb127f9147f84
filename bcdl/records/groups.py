"""Groups: records that may stand in one table."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Key, Purpose
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.settings.models import MODELS, place_of
from bcdl.settings.words import line_words, title_words
from bcdl.text import LONGEST_NAME, UNSAFE

_AND = " and "  # between machines; the name of none holds a blank
_COMMA = ", "  # between settings of a training, none of which holds one


def together(machines: Iterable[str]) -> str:
    """Machines in words, each once, in one order whichever came first."""
    return _AND.join(sorted(set(machines)))


class ParityVerdicts(Protocol):
    """What is known of the parity of the backends in a group; `bcdl.parity.verdicts` implements it."""

    def mark(self, machine: str, records: Sequence[Record], others: Sequence[Record]) -> str:
        """The sign of figures whose backend differs from another, or was never compared with it; empty for others."""

    def among(self, machine: str, records: Sequence[Record]) -> str:
        """One verdict for all backends of one model."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A model started from certain weights and trained in a certain way: a line of every table, a series of every plot.

    Attributes:
        model: its name in the model table.
        weights: what the backbone started from, as in the cell.
        training: the settings of training that are not the usual ones, in words; empty if all are.
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
    def start_weights(self) -> str:
        """What the backbone started from, in words."""
        return {"none": "random", "imagenet": "ImageNet"}.get(self.weights, f"file {self.weights}")

    @property
    def start(self) -> str:
        """What the backbone started from, and how it was trained if not as usual."""
        return f"{self.start_weights}; {self.training}" if self.training else self.start_weights

    @property
    def short_start(self) -> str:
        """As `start`, without the name of a file."""
        weights = self.start_weights.partition(" ")[0]
        return f"{weights}; {self.training}" if self.training else weights


@dataclasses.dataclass(frozen=True, eq=False)  # two are never compared, and what is computed of one is kept by it
class Group:
    """Records that may stand in one table, the newest of each cell.

    Attributes:
        machine: the folder that the records lie in; if they are of accuracy alone, several may be named.
        checksum: SHA-256 of the data, or of its images alone if folds split them in several ways; empty if no record
            knows it.
        records: in the order in which they were recorded.
        verdicts: what is known of the backends' parity; None if nothing is.
        distinction: other facts that set it apart, in words, if other groups have the same machine, data and settings.
        distinguishing: those facts by name, for the digest in the names of its files. Empty for the oldest of such
            groups, whose files keep the names that they had before there were others.
        several: of each cell that ran on several machines, the newest record that is ok of each, with its machine.
    """

    machine: str
    checksum: str
    records: tuple[Record, ...]
    verdicts: ParityVerdicts | None = None
    distinction: str = ""
    distinguishing: Key = ()
    several: tuple[Mapping[str, Record], ...] = ()

    @property
    def first(self) -> Record:
        """A record to read the common settings from: the first that is ok, or, if none is, the first."""
        return next((record for record in self.records if record.ok), self.records[0])

    @property
    def machines(self) -> list[str]:
        """The folders that its records lie in, one by one."""
        return self.machine.split(_AND)

    @property
    def synthetic(self) -> bool:
        return bool(self.first.dataset.get("synthetic"))

    @property
    def slug(self) -> str:
        """The stem of the names of its files: readable, and made unique by a digest of all that sets it apart."""
        cell = self.first.cell
        own = _GroupKey.of(self.machine, self.first)
        key = (own.machine, self.checksum, *own.settings, *self.distinguishing)
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:6]
        settings = f"{cell.image_size}px-b{cell.batch_size}-{cell.precision}"
        parts = (cell.data, cell.profile, settings)
        return re.sub(UNSAFE, "_", "-".join(part[:LONGEST_NAME] for part in parts) + f"-{digest}")

    @property
    def mark(self) -> str:
        """What titles of its figures begin with: a warning if the split is by image, and may cut a patient."""
        return "LEAKY: " if self.first.cell.split_by == "image" else ""

    @property
    def title(self) -> str:
        """One line that says what was run; synthetic data is called so."""
        cell = self.first.cell
        kind = " (synthetic drawings)" if self.synthetic else ""
        distinction = f", {self.distinction}" if self.distinction else ""
        return f"{cell.data}{kind}, {title_words(cell)}{distinction}"

    @functools.cached_property
    def lines(self) -> list[Line]:
        """The lines of its tables, in the order of the model table; models that it lacks come last."""
        lines = {line for line, _ in self._by_line_and_backend}
        return sorted(lines, key=lambda line: (place_of(line.model), dataclasses.astuple(line)))

    @functools.cached_property
    def backends(self) -> list[str]:
        return sorted({record.cell.backend for record in self.records})

    def label(self, line: Line) -> str:
        """The line's title, with weights and training if the model stands in the group with several of them.

        Of the training it says what not all lines of the model have in common.
        """
        same = [other for other in self.lines if other.model == line.model]
        parts = [line.title]
        weights = {other.weights: other.start_weights for other in same}
        if len(weights) > 1:
            kind = line.start_weights.split()[0]
            files = sum(start.startswith(kind) for start in weights.values())
            parts.append(kind if files == 1 else line.start_weights)  # a name of a file only if there are several
        if len({other.training for other in same}) > 1:
            shared = set.intersection(*(set(other.training.split(_COMMA)) for other in same)) - {""}
            own = [word for word in line.training.split(_COMMA) if word and word not in shared]
            parts += own or ["otherwise as usual" if shared else "as usual"]
        return _COMMA.join(parts)

    def of(self, line: Line, backend: str) -> list[Record]:
        """The line's records on a backend, one a seed and fold, in that order."""
        return list(self._by_line_and_backend.get((line, backend), ()))

    @functools.cached_property
    def _by_line_and_backend(self) -> dict[tuple[Line, str], list[Record]]:
        by_place: dict[tuple[Line, str], list[Record]] = {}
        for record in sorted(self.records, key=lambda record: (record.cell.seed, record.cell.fold)):
            by_place.setdefault((Line.of(record.cell), record.cell.backend), []).append(record)
        return by_place

    def draws(self, line: Line) -> list[str]:
        """The seeds and folds that the line was run with on any backend, in words."""
        of_line = itertools.chain.from_iterable(self.of(line, backend) for backend in self.backends)
        draws = {(record.cell.seed, record.cell.fold): record.cell.draw for record in of_line}
        return [draws[seed_and_fold] for seed_and_fold in sorted(draws)]

    @property
    def not_run(self) -> list[str]:
        """What was run on one backend and not on another, in words: a line and backend, and the draw if others ran."""
        missing = []
        for line in self.lines:
            draws = self.draws(line)
            for backend in self.backends:
                run = {record.cell.draw for record in self.of(line, backend)}
                not_run = [draw for draw in draws if draw not in run] if run else [""]
                missing += [", ".join(filter(None, (f"{self.label(line)} on {backend}", draw))) for draw in not_run]
        return missing

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

    A record that failed early does not know its data: it goes to the newest group of its machine and settings.
    """
    keyed = [(_GroupKey.of(machine, record), machine, record) for machine, record in records]
    newest: dict[tuple[str, Key], _GroupKey] = {}  # of each machine, and of all whose records stand together
    for key, machine, _ in keyed:
        if key.checksum:
            newest[machine, key.settings] = newest[key.machine, key.settings] = key
    cells: dict[_GroupKey, _Cells] = {}
    for key, machine, record in keyed:
        of_all = newest.get((key.machine, key.settings), key)
        known = key if key.checksum else newest.get((machine, key.settings), of_all)
        cells.setdefault(known, _Cells()).add(machine, record)
    groups = [group for keys in _by_title(cells) for group in _distinguished(keys, cells, verdicts)]
    return sorted(groups, key=lambda group: (group.synthetic, not group.first.cell.test, group.title, group.machine))


class _Cells:
    """The records of a group, each with its machine, as they come, oldest first."""

    def __init__(self) -> None:
        self._by_cell: dict[str, tuple[str, Record]] = {}
        self._ran: dict[str, dict[str, Record]] = {}

    def add(self, machine: str, record: Record) -> None:
        """Take a record for its cell: but what failed on one machine says nothing of what another could do."""
        earlier = self._by_cell.get(record.cell.id)
        if earlier is None or earlier[0] == machine or record.has_ended or not earlier[1].has_ended:
            self._by_cell[record.cell.id] = (machine, record)
        if record.ok:
            self._ran.setdefault(record.cell.id, {})[machine] = record

    @property
    def records(self) -> tuple[Record, ...]:
        """That of each cell."""
        return tuple(record for _, record in self._by_cell.values())

    @property
    def machines(self) -> str:
        """Those of these records, in words."""
        return together(machine for machine, _ in self._by_cell.values())

    @property
    def several(self) -> tuple[Mapping[str, Record], ...]:
        """Of each cell that ran on several machines, the newest record that is ok of each."""
        return tuple(by_machine for by_machine in self._ran.values() if len(by_machine) > 1)


_NONE_KNOWN: Key = (("others", None),)


@dataclasses.dataclass(frozen=True)
class _GroupKey:
    """What all records of a group have in common: the key of `comparability` for tables, in four parts.

    The machine is empty if records of several may stand in the group.
    """

    machine: str
    checksum: str
    settings: Key
    others: Key

    @classmethod
    def of(cls, machine: str, record: Record) -> _GroupKey:
        key = comparability.key(Evidence.of(record, machine), Purpose.TABLE)
        own = record.cell.to_dict().keys()
        settings = tuple(pair for pair in key if pair[0] in own)
        others = tuple(pair for pair in key if pair[0] not in (*own, "machine", "images"))
        facts = dict(key)
        return cls(str(facts.get("machine", "")), str(facts.get("images", "")), settings, others)


def _by_title(keys: Iterable[_GroupKey]) -> list[list[_GroupKey]]:
    """The keys, those together that differ only in facts beside machine, data and settings; oldest first."""
    by_title: dict[tuple[object, ...], list[_GroupKey]] = {}
    for key in keys:
        by_title.setdefault((key.machine, key.checksum, key.settings), []).append(key)
    return list(by_title.values())


def _distinguished(
    keys: Sequence[_GroupKey], cells: Mapping[_GroupKey, _Cells], verdicts: ParityVerdicts | None
) -> Iterator[Group]:
    """The groups of keys of one title, oldest first, each with the facts that set it apart from the others."""
    for key, distinction in zip(keys, comparability.apart([key.others for key in keys]), strict=True):
        distinguishing = () if key is keys[0] else key.others or _NONE_KNOWN
        of = cells[key]
        yield Group(of.machines, key.checksum, of.records, verdicts, distinction, distinguishing, of.several)
