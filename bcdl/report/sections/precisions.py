"""The sections of precisions: the same models in each arithmetic, which the tables of a group hold apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bcdl.records.groups import Group
from bcdl.report.section import Section, page_name
from bcdl.report.sections import facts
from bcdl.report.sections.metrics import METRICS, MetricRow, line_entry
from bcdl.report.tables import Table, figures, word, words
from bcdl.settings.options import PRECISIONS
from bcdl.settings.words import title_words
from bcdl.text import escape

_TEXT = """\
The same data, settings and machine; what is rounded differs. The cells of a line were not interleaved. Quality, spreads
and doubts are in the section of each precision. If fewer bits are not faster, launching kernels and not arithmetic is
likely the limit.
"""
_SHOWN = ("step_images_per_s", "fit_images_per_s", "predict_images_per_s")


def sections(groups: Sequence[Group]) -> list[Section]:
    """A section for all groups of timed cells that differ in their precision alone, if there are two or more."""
    alike: dict[tuple[str, str, str], dict[str, Group]] = {}
    for group in groups:
        if group.first.cell.timing:
            key = (group.machine, group.checksum, _settings(group))
            alike.setdefault(key, {}).setdefault(group.first.cell.precision, group)
    return [_section(by_precision) for by_precision in alike.values() if len(by_precision) > 1]


def _settings(group: Group) -> str:
    """What the group's cells have in common, in words, whatever their precision."""
    cell = dataclasses.replace(group.first.cell, precision=PRECISIONS[0])
    return f"{title_words(cell)} {group.distinction}"


def _section(by_precision: dict[str, Group]) -> Section:
    groups = [by_precision[name] for name in PRECISIONS if name in by_precision]
    first = groups[0]
    rows = [row for row in METRICS if row.name in _SHOWN]
    tables = tuple(_table(groups, row) for row in rows)
    heading = f"# Each precision: {escape(first.title.replace(first.first.cell.precision + ', ', '', 1))}"
    machine = f"Machine: {escape(first.machine)}."
    text = [heading, machine, _TEXT.strip(), *(table.to_markdown() for table in tables)]
    return Section(
        text="\n\n".join(text) + "\n",
        tables={f"{first.slug}-precisions": tables},
        page=page_name(*facts.page_words(first, precision=False), "each precision"),
    )


def _table(groups: Sequence[Group], metric: MetricRow) -> Table:
    """A line a model and backend, a column a precision."""
    lines = dict.fromkeys(line for group in groups for line in group.lines)
    names = sorted({name for group in groups for name in group.backends})
    rows = [
        (
            *map(word, (line.title, line.start, name)),
            *(line_entry(group, line, name, metric) for group in groups),
        )
        for line in lines
        for name in names
        if any(group.of(line, name) for group in groups)
    ]
    columns = (*map(words, ("model", "start", "backend")), *(figures(group.first.cell.precision) for group in groups))
    return Table(metric.title, columns, tuple(rows))
