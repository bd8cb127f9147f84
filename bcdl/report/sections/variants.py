"""The sections of variants: settings tried on validation images, best first, and what one setting changes."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from bcdl.evaluation import estimates, metrics, variants
from bcdl.evaluation.variants import Change, Compared, Variant
from bcdl.records.groups import Group, Line
from bcdl.report import formats, how_to_read, titles
from bcdl.report.section import Section, page_name
from bcdl.report.sections import quality
from bcdl.report.tables import Entry, Table, figures, word, words
from bcdl.settings.words import value_word, value_words
from bcdl.text import escape

CHANGES = "What does one setting change?"
_RANKED = (metrics.BY_NAME["auroc"], metrics.BY_NAME["loss"], metrics.BY_NAME["accuracy"])


def sections(groups: Sequence[Group]) -> list[Section]:
    """A section for each set of variants of which several were judged on the same images."""
    searched = (_section(of, "Settings tried on validation images") for of in variants.compared(groups, tested=False))
    changed = (_section(of, "What one setting changes") for of in variants.compared(groups, tested=True))
    return [section for section in (*searched, *changed) if section]


def _section(of: Compared, title: str) -> Section | None:
    """The section of variants: ranked if not tested, and what each setting changes; None if there is neither."""
    cell = of.cell
    ranked = [] if cell.test else [_ranked(of)]
    changes = _changes(of)
    tables = (*ranked, *changes)
    if not tables:
        return None
    where = ", ".join(filter(None, (cell.data, f"{cell.folds} folds" if cell.folds else "")))
    mark = "LEAKY: " if cell.split_by == "image" else ""
    parts = [
        f"# {escape(f'{mark}{title}: {where}')}",
        quality.FOLDS_DEPEND if cell.folds > 1 else "",
        f"Machine: {escape(of.machine)}.",
        *_part("Settings, best first", how_to_read.SEARCH, ranked),
        *_part(CHANGES, how_to_read.ONE_SETTING, changes),
    ]
    words_of_page = (cell.data, f"{cell.folds} folds" if cell.folds else "", mark, title)
    kind = "one-setting" if cell.test else "validation"
    return Section(
        text="\n\n".join(part.strip() for part in parts if part) + "\n",
        tables={f"{of.slug}-{kind}": tables},
        page=page_name(*words_of_page),
    )


def _part(heading: str, how: str, tables: Sequence[Table]) -> list[str]:
    """The tables under a heading, with a link to how to read them; nothing if there are none."""
    return [f"## {heading}", how_to_read.link(how), *(table.to_markdown() for table in tables)] if tables else []


def _ranked(of: Compared) -> Table:
    """A row a variant, the largest AUROC first."""
    columns = (
        *map(words, ("model", "start", "backend", "settings in which rows differ")),
        *(figures(f"validation {metric.title} (95%)") for metric in _RANKED),
        *map(figures, ("epochs kept", "seeds", "images (groups)")),
    )
    judged = [(each, estimates.estimates(list(each.seeds.values()), _RANKED)) for each in of.variants]
    judged.sort(key=lambda pair: -pair[1][_RANKED[0].name].value)
    names = _other_settings(of)
    rows = tuple(
        (
            *map(word, (Line.of(each.cell).title, Line.of(each.cell).start_weights, each.software)),
            word(value_words(each.cell, names) or "none"),
            *(Entry(found[metric.name], formats.estimate) for metric in _RANKED),
            *(_kept(each), word(formats.counts(list(each.seeds))), _images(each)),
        )
        for each, found in judged
    )
    return Table(_noted("Settings, best first", of), columns, rows)


def _changes(of: Compared) -> list[Table]:
    """A table with a row for each two variants that differ in one setting alone; none if there are none."""
    columns = (
        *map(words, ("model", "setting", "a", "b", "the other settings", "backend")),
        *(figures(f"{metric.title}, b - a (95%)") for metric in variants.COMPARED),
        *map(figures, ("seeds", "images (groups)")),
    )
    names = _other_settings(of)
    rows = tuple(_change(change, names) for change in variants.changes(of.variants))
    return [Table(_noted("What one setting changes", of), columns, rows)] if rows else []


def _change(change: Change, names: Sequence[str]) -> tuple[Entry, ...]:
    a, b, setting = change.a.cell, change.b.cell, change.setting
    others = [name for name in names if name != setting]
    model = Line.of(a).title if setting != "model" else ""
    start = "" if setting in ("weights", "model") else f"start {Line.of(a).start_weights}"
    return (
        *map(word, (model, setting.replace("_", " "), value_word(a, setting), value_word(b, setting))),
        *map(word, (", ".join(filter(None, (start, value_words(a, others)))), change.a.software)),
        *(Entry(change.differences[metric.name], formats.difference) for metric in variants.COMPARED),
        *(word(formats.counts(list(change.seeds))), _images(change.a)),
    )


def _other_settings(of: Compared) -> list[str]:
    """The settings in which variants differ, beside model and weights, which have columns of their own."""
    return [name for name in variants.differing(of.variants) if name not in ("model", "weights")]


def _kept(of: Variant) -> Entry:
    """The epoch whose weights were judged: the median of seeds and folds, the least and the largest."""
    kept = tuple(value for record in of.records if (value := record.value("kept_epoch")) is not None)
    return Entry(kept, functools.partial(formats.median, digits=0))


def _images(of: Variant) -> Entry:
    largest = max(of.seeds.values(), key=len)
    ungrouped = largest.ungrouped if largest.grouped else 0
    return Entry((len(largest), largest.group_count, ungrouped), formats.images_of_groups)


def _noted(title: str, of: Compared) -> str:
    """The title, with on how little its figures rest."""
    records = [record for variant in of.variants for record in variant.records]
    return titles.with_note(title, titles.note(records, "test" if of.cell.test else "val"))
