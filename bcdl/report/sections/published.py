"""The sections that set what was measured beside published figures of the same data set."""

from __future__ import annotations

from collections.abc import Sequence

from bcdl.evaluation import estimates, metrics, published, smoke
from bcdl.evaluation.estimates import Result
from bcdl.evaluation.published import Published
from bcdl.records.groups import Group
from bcdl.report import formats, how_to_read
from bcdl.report.section import Section, page_name
from bcdl.report.sections import quality
from bcdl.report.tables import Entry, Table, count, figures, number, word, words
from bcdl.text import escape, safe_name

_METRICS = (metrics.BY_NAME["auroc"], metrics.BY_NAME["accuracy"])


def sections(groups: Sequence[Group]) -> list[Section]:
    """A section for each data set that has published figures, if a model was tested on enough of its images."""
    by_name: dict[str, list[Group]] = {}
    for group in groups:
        if group.first.cell.test and not group.synthetic and not smoke.note(group.records):
            by_name.setdefault(group.first.cell.data, []).append(group)
    return [_section(name, of) for name, of in by_name.items() if published.of(of[0].first.dataset)]


def _section(data: str, groups: Sequence[Group]) -> Section:
    tables = (_published(published.of(groups[0].first.dataset)), _measured(groups))
    parts = [f"# Beside published figures: {escape(data)}", how_to_read.link(how_to_read.PUBLISHED)]
    return Section(
        text="\n\n".join([*parts, *(table.to_markdown() for table in tables)]) + "\n",
        tables={f"{safe_name(data)}-published": tables},
        page=page_name(data, "beside published figures"),
    )


def _published(rows: Sequence[Published]) -> Table:
    columns = (*map(words, ("model", "tested on")), *map(figures, ("AUROC", "accuracy")), words("source"))
    shown = (
        (word(row.model), word(row.images), *(_figure(value) for value in (row.auroc, row.accuracy)), word(row.source))
        for row in rows
    )
    return Table("Published, cited from the sources", columns, tuple(shown))


def _figure(value: float | None) -> Entry:
    return word(published.NOT_SAID) if value is None else number(value, 3)


def _measured(groups: Sequence[Group]) -> Table:
    """A row a model, start, size and backend; the largest images first."""
    columns = (
        *map(words, ("machine", "model", "start")),
        figures("px"),
        *map(words, ("backend", "split", "tested on")),
        *(figures(f"{metric.title} (95%)") for metric in _METRICS),
        *map(figures, ("seeds", "images (groups)")),
    )
    largest_first = sorted(groups, key=lambda group: -group.first.cell.image_size)
    rows = [
        _row(group, result)
        for group in largest_first
        for line in group.lines
        for result in estimates.of_line(group, line, _METRICS)
    ]
    return Table("Measured here, from the records", columns, tuple(rows))


def _row(group: Group, result: Result) -> tuple[Entry, ...]:
    cell, largest = group.first.cell, result.largest
    return (
        *map(word, (group.machine, result.line.title, result.line.short_start)),
        count(cell.image_size),
        *map(word, (result.backend, quality.split_of(group))),
        word(formats.folds(len(largest.parts), cell.folds)),
        *(Entry(result.estimates[metric.name], formats.estimate) for metric in _METRICS),
        count(len(result.seeds)),
        Entry(largest.counts, formats.images_of_groups),
    )
