"""The part of a page that says what each fault of the source study does: a table, a plot, the study's own figures."""

from __future__ import annotations

from bcdl.evaluation import published, variants
from bcdl.evaluation.faults import Effect, Effects
from bcdl.evaluation.variants import Compared
from bcdl.records.groups import Line
from bcdl.report import figures as pictures
from bcdl.report import formats, titles
from bcdl.report.plots import faults as plot
from bcdl.report.tables import Entry, Table, count, figures, number, word, words

SHOWS = plot.SHOWS


def tables(found: Effects, note: str) -> tuple[Table, ...]:
    """What the faults do, and what the study published; `note` says on how little the first rests."""
    return _effects(found, note), _of_study()


def drawn(of: Compared, found: Effects) -> dict[str, bytes]:
    """The plot as PNG, by key."""
    records = [record for effect in found.effects for record in (*effect.base.records, *effect.faulty)]
    return pictures.to_pngs(of.slug, [("faults", plot.picture(found, of.machines))], records)


def _effects(found: Effects, note: str) -> Table:
    """A row for each fault of the source study: with it, without it, and the difference."""
    sides = (f"{metric.title}, {which}" for metric in variants.COMPARED for which in ("without", "with it"))
    differences = (f"{metric.title}, with - without (95%)" for metric in variants.COMPARED)
    columns = (words("fault"), *map(figures, (*sides, *differences, "seeds", "images (groups)")))
    base = found.base.cell
    title = f"Faults switched on alone in {Line.of(base).title} on {base.backend}, {Line.of(base).short_start}"
    rows = tuple(_effect(plot.title(found, effect), effect) for effect in found.effects)
    return Table(titles.with_note(title, note), columns, rows)


def _effect(title: str, effect: Effect) -> tuple[Entry, ...]:
    sides = [side[metric.name] for metric in variants.COMPARED for side in (effect.without, effect.with_it)]
    return (
        word(title),
        *(number(value, 3) for value in sides),
        *(Entry(effect.differences[metric.name], formats.difference) for metric in variants.COMPARED),
        count(effect.seeds),
        Entry(effect.images, formats.images_of_groups),
    )


def _of_study() -> Table:
    """What the source study published of its own models."""
    columns = (words("model"), words("tested on"), figures("accuracy"), words("source"))
    rows = (
        (word(row.model), word(row.images), number(row.accuracy, 3), word(row.source))
        for row in published.FIGURES
        if row.data == published.OF_STUDY
    )
    return Table("The study's own figures, on other data", columns, tuple(rows))
