"""The answer, on one screen: which backend for which model, how fast, how sure, and whether all compute the same.

A winner is named only of what was measured in turn: ratios of runs that were made one after another are partly those
of their moments. The rate of a model that was not measured in turn stands there all the same, and decides nothing.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from bcdl.parity.verdicts import MISMATCH, Verdicts
from bcdl.records.groups import Group, Line, group_records
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.report.sections import sides_in_turn
from bcdl.report.sections.metrics import METRICS, MetricRow, metric_entry
from bcdl.report.sections.sides_in_turn import SidesInTurn
from bcdl.report.tables import Column, Entry, Table, absent, count, figures, word, words
from bcdl.settings.cell import Cell
from bcdl.settings.models import MODELS, place_of
from bcdl.settings.profiles import SMOKE
from bcdl.statistics import comparison, doubts, ranking
from bcdl.statistics.ranking import FASTEST, TIE, UNDECIDED, Ranking, Standing

REGIME = "step"
NOT_COMPARABLE, NEVER_MEASURED, NO_RATE = "one after another", "never measured", "tried, and no rate"
# The words of a verdict beside a rate, for people.
_VERDICTS = {FASTEST: "fastest", TIE: "tie", UNDECIDED: "undecided"}
_BY_NAME = {metric.name: metric for metric in METRICS}
_RATE, _FIRST_STEP = _BY_NAME["step_images_per_s"], _BY_NAME["first_step_s"]
_MEMORY = {"cpu": _BY_NAME["peak_memory_mib"], "gpu": _BY_NAME["device_peak_memory_mib"]}
_SECONDS_AN_HOUR = 3600


@dataclasses.dataclass(frozen=True)
class Row:
    """One model at one size, batch and precision, on the backends that have it.

    Attributes:
        line: the model, and what it started from.
        cell: the settings that all backends share, as the first has them.
        ranking: of the backends by their rate of training steps; None if they were not measured in turn.
        records: the newest record of each backend that is ok.
        from_cold: the newest of each backend that compiled everything anew; the newest if none did.
        parity: whether the backends compute the same, in words.
        same: the same in a word: `yes`, `no`, `not known`; empty if there is one backend.
        doubtful: of how many of its records, on all backends, the rate is doubtful, and how many there are.
    """

    line: Line
    cell: Cell
    ranking: Ranking | None
    records: Mapping[str, Record]
    from_cold: Mapping[str, Record]
    parity: str
    same: str
    doubtful: tuple[int, int]

    @property
    def title(self) -> str:
        """The model, its size and its batch."""
        return f"{self.line.title}, {self.cell.image_size} px, batch {self.cell.batch_size}"

    @property
    def sentence(self) -> str:
        """What may be quoted of the row; empty if it was not measured in turn."""
        if self.ranking is None:
            return ""
        first, *others = self.ranking.standings
        start = f"{self.title}, {self.cell.precision}: "
        if self.ranking.is_decided:
            return f"{start}{first.name} is the fastest, at {_images_per_s(first)}; {', '.join(map(_beside, others))}."
        near = [other for other in others if other.verdict in (TIE, UNDECIDED)]
        slower = [other for other in others if other not in near]
        words = [f"{first.name} comes first, at {_images_per_s(first)}", *map(_beside, near), *map(_beside, slower)]
        return f"{start}{', '.join(words)}."

    @property
    def best(self) -> tuple[str, float]:
        """The backend with the highest rate, and that rate, images/s; NaN if no record has one."""
        if self.ranking is not None:
            return self.ranking.first.name, self.ranking.first.rate
        rates = {name: record.value(_RATE.name) for name, record in self.records.items()}
        return max(rates.items(), key=lambda pair: -math.inf if math.isnan(pair[1]) else pair[1])


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is known of one machine.

    Attributes:
        machine: the folder that its records lie in.
        rows: what was measured, in the order of the model table.
        missing: the titles of the models whose speed was never measured there.
        failed: the titles of those that were to be measured, with how many records they have; none has a rate.
    """

    machine: str
    rows: Sequence[Row]
    missing: Sequence[str]
    failed: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def backends(self) -> list[str]:
        return sorted({name for row in self.rows for name in row.records})


def machines(records: Iterable[tuple[str, Record]]) -> list[str]:
    """The machines that timed a cell, that of the newest such record first; those of smoke tests alone come last."""
    best: dict[str, tuple[bool, str]] = {}
    for machine, record in records:
        if record.cell.timing:
            best[machine] = max(_worth(record), best.get(machine, _worth(record)))
    return sorted(best, key=lambda machine: best[machine], reverse=True)


def of_machine(
    machine: str, records: Iterable[tuple[str, Record]], groups: Iterable[Group], verdicts: Verdicts
) -> Answer:
    """The answer for a machine, of records that are the oldest first, each with its machine.

    `groups` are those of the records that were not measured in turn.
    """
    own = [(place, record) for place, record in records if place == machine]
    apart = [group for group in groups if group.machine == machine]
    return _answer(machine, own, apart, verdicts, lambda row: (row.line.model, row.cell.precision))


def _answer(
    machine: str,
    own: Sequence[tuple[str, Record]],
    groups: Iterable[Group],
    verdicts: Verdicts,
    key: Callable[[Row], Hashable],
) -> Answer:
    """As `of_machine`, of its `own` records and groups, with the newest row of each key."""
    in_turn = _newest(rows(sides_in_turn.read(own), verdicts), key)
    apart = _newest(_apart(groups, verdicts), key)
    made = _in_order({**apart, **in_turn}.values())
    measured = {row.line.model for row in made}
    tried = Counter(record.cell.model for _, record in own if record.cell.timing)
    without = {model.title: tried[name] for name, model in MODELS.items() if name not in measured}
    failed = {title: count for title, count in without.items() if count}
    return Answer(machine, made, [title for title in without if title not in failed], failed)


def of_run(machine: str, records: Sequence[Record], verdicts: Verdicts) -> Answer:
    """The answer that a run's own records give, of the models that it was about, at each size and batch that it had."""
    own = [(machine, record) for record in records]
    groups = group_records([pair for pair in own if not pair[1].block], verdicts)
    made = _answer(machine, own, groups, verdicts, lambda row: (row.line.model, *_of_columns(row)))
    return dataclasses.replace(made, missing=(), failed={})


def rows(runs: Iterable[SidesInTurn], verdicts: Verdicts) -> list[Row]:
    """A row for each model and size, in the order of the model table: of the newest comparison of backends that has it.

    `runs` are of one machine, the oldest first.
    """
    made = [row for run in runs for row in _of_run(run, verdicts)]
    return _in_order(_newest(made, lambda row: _key(row.cell)).values())


def tables(answer: Answer) -> tuple[Table, Table]:
    """Models down, backends across: rates with their intervals, then what a first step and memory take."""
    without = {**dict.fromkeys(answer.missing, NEVER_MEASURED), **dict.fromkeys(answer.failed, NO_RATE)}
    return table(answer.rows, without), cost_table(answer.rows)


def table(made: Sequence[Row], without: Mapping[str, str] = types.MappingProxyType({})) -> Table:
    """Images/s with interval, its share of the row's best, the fastest backend, and whether all answer the same.

    `without` are the titles of the models that have no rate, each with why.
    """
    made = _in_order(made)
    names = sorted({name for row in made for name in row.records})
    if len(names) == 1 and not without:  # of a run of one backend
        rows = ((*_settings(row), _figure(row, names[0])) for row in made)
        return Table("Training steps, images/s", (*_SETTINGS, figures(names[0])), tuple(rows))
    columns = (*_SETTINGS, words("fastest"), *map(figures, names), words("same answers?"))
    shown = [
        (*_settings(row), word(_fastest(row)), *(_figure(row, name) for name in names), word(row.same)) for row in made
    ]
    blank = [absent()] * len(names)
    order = {model.title: place for place, model in enumerate(MODELS.values())}
    unknown = [
        (word(title), *_like_all(made), word(why), *blank, absent())
        for title, why in sorted(without.items(), key=lambda pair: order[pair[0]])
    ]
    title = "Training steps, images/s (95% interval), and the share of the fastest's rate"
    return Table(title, columns, (*shown, *unknown))


def cost_table(made: Sequence[Row]) -> Table:
    """What the first step takes, and the peak of memory, on each backend."""
    made = _in_order(made)
    names = sorted({name for row in made for name in row.records})
    columns = (
        *_SETTINGS,
        *(figures(f"{name}, first step, s") for name in names),
        *(figures(f"{name}, peak MiB") for name in names),
    )
    shown = (
        (
            *_settings(row),
            *(_metric(row.from_cold, name, _FIRST_STEP) for name in names),
            *(_metric(row.from_cold, name, _MEMORY.get(row.cell.device, _MEMORY["cpu"])) for name in names),
        )
        for row in made
    )
    return Table("First step, compilation included, and peak memory", columns, tuple(shown))


def an_hour(row: Row) -> str:
    """How many images an hour trains on the row's best backend, to the nearest hundred, in words; empty if unknown."""
    name, rate = row.best
    if formats.is_undefined(rate):
        return ""
    images = formats.grouped(100 * int(rate * _SECONDS_AN_HOUR / 100 + 0.5))
    return f"{row.line.title} in {row.cell.precision} {images} ({name})"


# The columns that set a row apart; those that say the same in all rows are said once.
_SETTINGS: tuple[Column, ...] = (words("model"), figures("px"), figures("batch"), words("precision"))


def _settings(row: Row) -> tuple[Entry, ...]:
    cell = row.cell
    return word(row.line.title), count(cell.image_size), count(cell.batch_size), word(cell.precision)


def _like_all(made: Sequence[Row]) -> tuple[Entry, ...]:
    """The settings of a model that was never measured: those that all others have, so that these are said once."""
    columns = zip(*(_settings(row)[1:] for row in made), strict=True)
    every = [entries[0] if len({entry.shown for entry in entries}) == 1 else absent() for entries in columns]
    return tuple(every) or tuple(absent() for _ in _SETTINGS[1:])


def _of_run(run: SidesInTurn, verdicts: Verdicts) -> list[Row]:
    """The rows of one comparison; none if its sides are not of different backends."""
    backends = {side: {record.cell.backend for record in records} for side, records in run.sides.items()}
    if any(len(names) > 1 for names in backends.values()) or len(run.backends()) < len(run.sides):
        return []
    by_cell: dict[tuple[object, ...], dict[str, list[Record]]] = {}
    for records in run.sides.values():
        for record in records:
            if _rounds([record]):
                by_cell.setdefault(_key(record.cell), {}).setdefault(record.cell.backend, []).append(record)
    return [_row(run.machine, sides, verdicts) for sides in by_cell.values() if len(sides) > 1]


def _row(machine: str, sides: Mapping[str, list[Record]], verdicts: Verdicts, in_turn: bool = True) -> Row:
    newest = {backend: records[-1] for backend, records in sides.items()}
    from_cold = {backend: next(filter(_is_cold, reversed(records)), records[-1]) for backend, records in sides.items()}
    every = list(newest.values())
    ranked = ranking.rank({backend: _rounds(records) for backend, records in sides.items()}) if in_turn else None
    said = verdicts.among(machine, every)
    mark = verdicts.mark(machine, every, every)
    same = "" if len(every) == 1 else {MISMATCH: "no", "": "yes"}.get(mark, "not known")
    doubted = [bool(doubts.every(record, REGIME)) for records in sides.values() for record in records]
    doubtful = sum(doubted), len(doubted)
    return Row(Line.of(every[0].cell), every[0].cell, ranked, newest, from_cold, said, same, doubtful)


def _apart(groups: Iterable[Group], verdicts: Verdicts) -> list[Row]:
    """A row for each line of the groups that has rates."""
    made = []
    for group in groups:
        for line in group.lines:
            by_backend = {name: _with_rate(group.of(line, name)) for name in group.backends}
            if sides := {name: records for name, records in by_backend.items() if records}:
                made.append(_row(group.machine, sides, verdicts, in_turn=False))
    return made


def _with_rate(records: Iterable[Record]) -> list[Record]:
    """Those with a rate of steps, the newest last."""
    return sorted((record for record in records if record.ok and record.value(_RATE.name) > 0), key=_started)


def _is_cold(record: Record) -> bool:
    return record.value(_FIRST_STEP.name) > 0


def _started(record: Record) -> str:
    return record.started


def _newest(made: Iterable[Row], key: Callable[[Row], Hashable]) -> dict[Hashable, Row]:
    """The row of each key that has the newest record, of smoke tests only if there is no other."""
    best_last = sorted(made, key=lambda row: max(map(_worth, row.records.values())))
    return {key(row): row for row in best_last}


def _worth(record: Record) -> tuple[bool, str]:
    """What a newer record must have to take the place of this one: a smoke test takes that of a smoke test alone."""
    return record.cell.profile != SMOKE, record.started


def _in_order(made: Iterable[Row]) -> list[Row]:
    """The rows in the order of the model table."""
    return sorted(made, key=lambda row: (place_of(row.line.model), *_of_columns(row)))


def _of_columns(row: Row) -> tuple[int, str, int]:
    """What the columns of settings hold, in the order in which rows of a model stand."""
    return row.cell.image_size, row.cell.precision, row.cell.batch_size


def _rounds(records: Sequence[Record]) -> dict[str, float]:
    """The rate of each round, of samples of known code."""
    rates = comparison.of_known_code([sample for record in records for sample in comparison.samples(record)])
    return {sample.block: sample.rate for sample in rates if sample.regime == REGIME}


def _key(cell: Cell) -> tuple[object, ...]:
    """Settings that all backends of a row share."""
    return tuple(value for name, value in sorted(cell.to_dict().items()) if name not in ("backend", "seed"))


def _figure(row: Row, backend: str) -> Entry:
    if row.ranking is None:
        return _metric(row.records, backend, _RATE)
    standing = next((each for each in row.ranking.standings if each.name == backend), None)
    return absent("not in turn") if standing is None else Entry(standing, _in_words)


def _metric(records: Mapping[str, Record], backend: str, metric: MetricRow) -> Entry:
    return metric_entry([records[backend]], metric) if backend in records else absent(formats.NOT_RUN)


def _in_words(standing: Standing) -> str:
    ends = "" if math.isnan(standing.low) else f" ({_rate(standing.low)} to {_rate(standing.high)})"
    return f"{_rate(standing.rate)}{ends}, {formats.percent(standing.ratio)}"


def _rate(images_per_s: float) -> str:
    return formats.fixed(images_per_s, 1 if images_per_s < 1000 else 0)


def _fastest(row: Row) -> str:
    """The winner, or those between which nothing is decided."""
    if row.ranking is None:
        return NOT_COMPARABLE
    first = row.ranking.first
    if row.ranking.is_decided:
        return first.name
    ties, undecided = row.ranking.named(TIE), row.ranking.named(UNDECIDED)
    if undecided:
        return f"undecided: {', '.join([first.name, *ties, *undecided])}"
    return f"tie: {', '.join([first.name, *ties])}"


def _images_per_s(standing: Standing) -> str:
    ends = "" if math.isnan(standing.low) else f" ({_rate(standing.low)} to {_rate(standing.high)})"
    return f"{_rate(standing.rate)} images/s{ends}"


def _beside(other: Standing) -> str:
    """A side beside the fastest, in words."""
    words = f"{other.name} {formats.percent(other.ratio)} of that"
    if not math.isnan(other.ratio_low):
        words += f" ({formats.percent(other.ratio_low)} to {formats.percent(other.ratio_high)})"
    return f"{words}, {_VERDICTS[other.verdict]}" if other.verdict in _VERDICTS else words
