"""The answer, on one screen: which backend for which model, how fast, how sure, and whether all compute the same.

It holds what was measured in turn on one machine: ratios of runs that were made one after another are partly those of
their moments, so that they decide nothing here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bcdl.parity.verdicts import Verdicts
from bcdl.records.groups import Line
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.report.sections.sides_in_turn import SidesInTurn
from bcdl.report.tables import Entry, Table, absent, figures, word, words
from bcdl.settings.cell import Cell
from bcdl.settings.models import MODELS
from bcdl.statistics import comparison, ranking
from bcdl.statistics.ranking import FASTEST, TIE, UNDECIDED, Ranking, Standing

REGIME = "step"
# The words of a verdict beside a rate, for people.
_VERDICTS = {FASTEST: "fastest", TIE: "tie", UNDECIDED: "undecided"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One model at one size and batch, on the backends that were measured in turn.

    Attributes:
        line: the model, and what it started from.
        cell: the settings that all backends share, as the first has them.
        ranking: of the backends by their rate of training steps.
        records: the newest record of each backend that is ok.
        parity: whether the backends compute the same, in words.
    """

    line: Line
    cell: Cell
    ranking: Ranking
    records: Mapping[str, Record]
    parity: str

    @property
    def title(self) -> str:
        """The model, its size and its batch."""
        return f"{self.line.title}, {self.cell.image_size} px, batch {self.cell.batch_size}"

    @property
    def sentence(self) -> str:
        """What may be quoted of the row."""
        first, *others = self.ranking.standings
        start = f"{self.title}: "
        if self.ranking.is_decided:
            return f"{start}{first.name} is the fastest, at {_images_per_s(first)}; {', '.join(map(_beside, others))}."
        near = [other for other in others if other.verdict in (TIE, UNDECIDED)]
        slower = [other for other in others if other not in near]
        words = [f"{first.name} comes first, at {_images_per_s(first)}", *map(_beside, near), *map(_beside, slower)]
        return f"{start}{', '.join(words)}."


def rows(runs: Iterable[SidesInTurn], verdicts: Verdicts) -> list[Row]:
    """A row for each model and size, in the order of the model table: of the newest comparison of backends that has it.

    `runs` are of one machine, the oldest first.
    """
    newest: dict[tuple[object, ...], Row] = {}
    for run in runs:
        for row in _of_run(run, verdicts):
            newest[_key(row.cell)] = row
    order = {name: place for place, name in enumerate(MODELS)}
    return sorted(newest.values(), key=lambda row: (order.get(row.line.model, len(order)), row.cell.image_size))


def table(made: Sequence[Row]) -> Table:
    """Models down, backends across: images/s with interval and ratio to the row's fastest, first step, peak memory."""
    names = sorted({name for row in made for name in row.records})
    columns = (words("model"), *map(figures, names), words("fastest"), words("same answers?"))
    shown = (
        (word(row.title), *(_figure(row, name) for name in names), word(_fastest(row)), word(row.parity or "not known"))
        for row in made
    )
    return Table("Training steps, images/s", columns, tuple(shown))


def _of_run(run: SidesInTurn, verdicts: Verdicts) -> list[Row]:
    """The rows of one comparison; none if its sides are not of different backends."""
    backends = {side: {record.cell.backend for record in records} for side, records in run.sides.items()}
    if any(len(names) > 1 for names in backends.values()) or len(run.backends()) < len(run.sides):
        return []
    by_cell: dict[tuple[object, ...], dict[str, list[Record]]] = {}
    for records in run.sides.values():
        for record in records:
            if record.ok:
                by_cell.setdefault(_key(record.cell), {}).setdefault(record.cell.backend, []).append(record)
    return [_row(run.machine, sides, verdicts) for sides in by_cell.values() if len(sides) > 1]


def _row(machine: str, sides: Mapping[str, list[Record]], verdicts: Verdicts) -> Row:
    newest = {backend: records[-1] for backend, records in sides.items()}
    cell = next(iter(newest.values())).cell
    ranked = ranking.rank({backend: _rounds(records) for backend, records in sides.items()})
    return Row(Line.of(cell), cell, ranked, newest, verdicts.among(machine, list(newest.values())))


def _rounds(records: Sequence[Record]) -> dict[str, float]:
    """The rate of each round, of samples of known code."""
    rates = comparison.of_known_code([sample for record in records for sample in comparison.samples(record)])
    return {sample.block: sample.rate for sample in rates if sample.regime == REGIME}


def _key(cell: Cell) -> tuple[object, ...]:
    """Settings that all backends of a row share."""
    return tuple(value for name, value in sorted(cell.to_dict().items()) if name not in ("backend", "seed"))


def _figure(row: Row, backend: str) -> Entry:
    standing = next((each for each in row.ranking.standings if each.name == backend), None)
    if standing is None:
        return absent(formats.NOT_RUN)
    return Entry((standing, row.records[backend]), _in_words)


def _in_words(figure: tuple[Standing, Record]) -> str:
    standing, record = figure
    interval = f" ({formats.fixed(standing.low, 1)} to {formats.fixed(standing.high, 1)})"
    first_step = record.metrics.get("first_step_s")
    memory = record.metrics.get("peak_memory_mib") or record.metrics.get("device_peak_memory_mib")
    parts = [
        formats.fixed(standing.rate, 1) + (interval if standing.low == standing.low else ""),
        f"x{formats.fixed(standing.ratio, 2)}",
        f"first step {formats.seconds(first_step)}" if first_step else "",
        f"{formats.fixed(memory, 0)} MiB" if memory else "",
    ]
    return "; ".join(filter(None, parts))


def _fastest(row: Row) -> str:
    """The winner, or those between which nothing is decided."""
    first = row.ranking.first
    if row.ranking.is_decided:
        return first.name
    ties, open_ = row.ranking.named(TIE), row.ranking.named(UNDECIDED)
    if open_:
        return f"undecided: {', '.join([first.name, *ties, *open_])}"
    return f"tie: {', '.join([first.name, *ties])}"


def _images_per_s(standing: Standing) -> str:
    return f"{formats.fixed(standing.rate, 1)} images/s"


def _beside(other: Standing) -> str:
    """A side beside the fastest, in words."""
    words = f"{other.name} {formats.percent(other.ratio)} of that"
    if other.ratio_low == other.ratio_low:
        words += f" ({formats.percent(other.ratio_low)} to {formats.percent(other.ratio_high)})"
    return f"{words}, {_VERDICTS[other.verdict]}" if other.verdict in _VERDICTS else words
