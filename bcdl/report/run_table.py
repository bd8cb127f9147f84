"""The tables that a run shows in the terminal when it ends: one a set of settings, a row for each cell."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from rich.console import Console

from bcdl.evaluation import estimates, few, metrics, scored, smoke
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report import formats, titles
from bcdl.report.doubt_lines import clock_lines, notes
from bcdl.report.sections.metrics import SPEED, MetricRow, doubt_lines, metric_entry, quality_rows, recordable
from bcdl.report.tables import Entry, Table, absent, figures, word, words
from bcdl.settings.cell import Cell
from bcdl.settings.words import title_words
from bcdl.settings.words import titles as cell_titles
from bcdl.statistics import bootstrap
from bcdl.text import legible

_OfRecord = Callable[[Record], Entry]
_ACCURACY = metrics.BY_NAME["accuracy"]


def print_run(records: Sequence[Record], console: Console) -> None:
    """The tables of one run's records, then the reason of each that is not ok, and how its clock was set."""
    for table in run_tables(records):
        console.print(table.to_rich())
    titled = cell_titles(record.cell for record in records)
    for record in records:
        if not record.ok:
            _print_line(console, f"{titled[record.cell]}: {record.status}: {record.reason}")
        for jump in clock_lines(record.environment):
            _print_line(console, f"{titled[record.cell]}: {jump}")
    for line in notes(records):
        _print_line(console, f"note: {line}")


def _print_line(console: Console, line: str) -> None:
    console.print(legible(line), markup=False, highlight=False, soft_wrap=True)


def run_tables(records: Sequence[Record]) -> list[Table]:
    """A table for each data set and set of settings of a run; a cell that is not ok has only its status."""
    by_settings: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        by_settings[tuple(getattr(record.cell, name) for name in _IN_COMMON)].append(record)
    headings = Counter(map(_heading, by_settings.values()))
    return [_table(of, is_alone=headings[_heading(of)] == 1) for of in by_settings.values()]


# What the cells of a table have in common. How the data was split stands in a column, with the seed.
_IN_COMMON = [name for name, row in Cell.rows().items() if row.within_table == "same" and name != "split_by"]


def _settings(cell: Cell) -> tuple[str, ...]:
    """The usual settings in words, as a heading names them after the data."""
    size = f"{cell.image_size}x{cell.image_size}"
    return cell.precision, size, f"batch {cell.batch_size}", f"{cell.epochs} epochs", cell.profile


def _table(records: Sequence[Record], is_alone: bool) -> Table:
    """The table of records of the same settings; each accuracy has its interval, unless it is a smoke test's.

    Its title names the usual settings or, unless it `is_alone` with these, all of them.
    """
    cell = records[0].cell
    measured = (*quality_rows(cell), *(SPEED if cell.timing else ()))
    rows_of = [metric for metric in recordable(measured, records) if metric.short]
    shown = [(metric.short, _figure(metric)) for metric in rows_of]
    smoke_test = smoke.note(records)
    if cell.test and not smoke_test:
        shown.insert(1, (f"{formats.percent(bootstrap.CONFIDENCE)} interval", _interval))
    columns = (*map(words, ("model", "backend", "seed")), *(figures(heading) for heading, _ in shown))
    lines = Group("", "", tuple(records))  # whose labels tell apart how a model was trained
    rows = (_row(record, lines.label(Line.of(record.cell)), [entry for _, entry in shown]) for record in records)
    heading = _heading(records) if is_alone else _whole_heading(records)
    if cell.test:
        title = titles.with_note(titles.with_note(heading, smoke_test or _test_set(records)), few.note(records))
    else:
        title = titles.with_note(heading, titles.note(records, "val"))
    return Table(title, columns, tuple(rows), _doubts(records, rows_of))


def _doubts(records: Sequence[Record], metrics_shown: Sequence[MetricRow]) -> tuple[str, ...]:
    """A line for each kind of doubt about the rates of a table."""
    titled = cell_titles(record.cell for record in records)
    places = {
        f"{titled[record.cell]}, {metric.short}": ([record], metric) for record in records for metric in metrics_shown
    }
    return doubt_lines(places)


def _heading(records: Sequence[Record]) -> str:
    return ", ".join([_data(records), *_settings(records[0].cell)])


def _whole_heading(records: Sequence[Record]) -> str:
    """As `_heading`, with every setting that has words."""
    return f"{_data(records)}, {title_words(records[0].cell)}"


def _data(records: Sequence[Record]) -> str:
    synthetic = " (synthetic drawings)" if any(record.dataset.get("synthetic") for record in records) else ""
    return f"{records[0].cell.data}{synthetic}"


def _test_set(records: Sequence[Record]) -> str:
    """What accuracies are to be held against: the size of the test set, and what the more frequent class gives."""
    majority = (record.value("test_majority_accuracy") for record in records if record.ok)
    tested = smoke.images_of(records)
    return f"{tested}, majority class {formats.fixed(next(majority), 3, formats.NOT_MEASURED)}" if tested else ""


def _row(record: Record, label: str, figures_of: Sequence[_OfRecord]) -> tuple[Entry, ...]:
    cell = record.cell
    status = (Entry(record.status, formats.status), *[absent()] * (len(figures_of) - 1))
    entries = tuple(of(record) for of in figures_of) if record.ok else status
    return (word(label), word(cell.backend), word(cell.draw.removeprefix("seed ")), *entries)


def _figure(metric: MetricRow) -> _OfRecord:
    return lambda record: metric_entry([record], metric)


def _interval(record: Record) -> Entry:
    """The interval of the record's accuracy, over patients as on the page; none if it holds no predictions."""
    predicted = list(scored.by_seed([record]).values())
    if not predicted:
        return absent(formats.NO_INTERVAL)
    accuracy = estimates.estimates(predicted, [_ACCURACY])[_ACCURACY.name]
    return Entry((accuracy.low, accuracy.high), _ends)


def _ends(ends: tuple[float, float]) -> str:
    return formats.interval(*ends, missing=formats.NO_INTERVAL)
