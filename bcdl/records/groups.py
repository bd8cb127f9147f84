"""Records sorted into groups that may stand in one table."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator, Sequence

from bcdl.parity.verdicts import Verdicts
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.settings.models import MODELS
from bcdl.settings.words import line_words, title_words
from bcdl.text import LONGEST_NAME, UNSAFE

NO_FINDINGS = Verdicts(())


# What may differ between the records of one group: what makes its lines and columns, and what chance decides.
_TRAINING = ("head_epochs", "keep", "patience", "class_weights", "batch_norm")


_FREE = ("model", "weights", *_TRAINING, "backend", "seed", "fold")


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
    """Records that may stand in one table, the newest of each cell; what is known of their backends' parity."""

    machine: str
    checksum: str
    records: tuple[Record, ...]
    verdicts: Verdicts = NO_FINDINGS

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
        digest = hashlib.sha256(repr(_key(self.machine, self.checksum, self.first)).encode()).hexdigest()[:6]
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
        return f"{cell.data}{kind}, {title_words(cell)}"

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

    @property
    def failures(self) -> list[Record]:
        return [record for record in self.records if not record.ok]


def group_records(records: Sequence[tuple[str, Record]], verdicts: Verdicts = NO_FINDINGS) -> list[Group]:
    """Records (oldest first, each with its machine) as groups, each cell by its newest record.

    A failed record may not know its data's checksum; it joins the newest group of its settings.
    """
    newest_checksum = {_key(m, "", r): _content(r) for m, r in records if _content(r)}
    sorted_out: dict[tuple[object, ...], dict[str, Record]] = {}
    places: dict[tuple[object, ...], tuple[str, str]] = {}
    for machine, record in records:
        checksum = _content(record) or newest_checksum.get(_key(machine, "", record), "")
        key = _key(machine, checksum, record)
        cells = sorted_out.setdefault(key, {})
        cells[record.cell.id] = record
        places[key] = (machine, checksum)
    found = [Group(*places[key], tuple(cells.values()), verdicts) for key, cells in sorted_out.items()]
    return sorted(found, key=lambda group: (group.synthetic, group.title, group.machine))


def _content(record: Record) -> str:
    """Checksum of the record's data, of its images alone where folds split them in several ways; empty if unknown."""
    return str(record.dataset.get("images_checksum" if record.cell.folds else "checksum", ""))


def _key(machine: str, checksum: str, record: Record) -> tuple[object, ...]:
    return (machine, checksum, *settings_of(record.cell).items())


def settings_of(cell: Cell, free: Sequence[str] = ()) -> dict[str, object]:
    """What the cells of a group have in common, less what else is `free` to differ."""
    return {key: value for key, value in cell.to_dict().items() if key not in (*_FREE, *free)}
