"""The sections of variants: settings tried on validation images, best first, and what one setting changes.

Those that were tested say first what a reader of the source study asks: what pretrained weights change, and what each
fault of that study does.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from bcdl.evaluation import estimates, faults, metrics, variants
from bcdl.evaluation.scored import Scored
from bcdl.evaluation.variants import Change, Compared, Variant
from bcdl.records.groups import Group, Line
from bcdl.report import formats, how_to_read, titles
from bcdl.report.section import Section, figure_link, page_name
from bcdl.report.sections import faults as of_faults
from bcdl.report.sections import quality
from bcdl.report.tables import Column, Entry, Table, figures, word, words
from bcdl.settings.words import value_word, value_words
from bcdl.text import escape

CHANGES = "What does one setting change?"
STARTS = "Are pretrained weights better than random ones?"
FAULTS = "What do the source study's faults do?"
_RANKED = (metrics.BY_NAME["auroc"], metrics.BY_NAME["loss"], metrics.BY_NAME["accuracy"])


def sections(groups: Sequence[Group]) -> list[Section]:
    """A section for each set of variants of which several were judged on the same images."""
    searched = map(_searched, variants.compared(groups, tested=False))
    tested = (_tested(of, groups) for of in variants.compared(groups, tested=True))
    return [section for section in (*searched, *tested) if section]


def quoted(groups: Sequence[Group]) -> list[str]:
    """A sentence for each data set on what pretrained weights change, of the largest images, of the most of them."""
    best: dict[str, tuple[tuple[int, int], Change]] = {}
    for of in variants.compared(groups, tested=True):
        for pair in _pairs(of) if of.cell.split_by == "group" else ():
            change = variants.start(*pair)
            size = (change.b.cell.image_size, len(change.most_images))
            if of.cell.data not in best or best[of.cell.data][0] < size:
                best[of.cell.data] = (size, change)
    return [_sentence(change) for _, change in best.values()]


def _sentence(change: Change) -> str:
    cell, metric = change.b.cell, variants.COMPARED[0]
    where = formats.folds(len(change.most_images.parts), cell.folds)
    split = quality.split_words(change.a.records[0])
    of = f"{Line.of(cell).title}, {cell.data}, {split}, {cell.image_size} px, {where}, {change.a.software}"
    random, pretrained = (formats.fixed(value, 3) for value in change.means(metric))
    difference = formats.difference(change.differences[metric.name])
    return (
        f"{of}: from pretrained weights {metric.title} {pretrained}, from random ones {random}; difference "
        f"{difference}, each trained in its own way."
    )


def _searched(of: Compared) -> Section:
    """The section of ways that were tried on validation images."""
    ranked, changes = [_ranked(of)], _changes(of, list(variants.changes(of.variants)))
    parts = [
        *_part("Settings, best first", how_to_read.SEARCH, ranked),
        *_part(CHANGES, how_to_read.ONE_SETTING, changes),
    ]
    return _section(of, "Settings tried on validation images", parts, (*ranked, *changes))


def _tested(of: Compared, groups: Sequence[Group]) -> Section | None:
    """The section of ways that were tested; None if no two of them can be compared."""
    made = list(variants.changes(of.variants))
    starts, changes = _starts(of), _changes(of, made)
    if not (starts or changes):
        return None
    found = faults.effects(of, made, groups)
    effects = of_faults.tables(found, _note(of)) if found else ()
    drawn = of_faults.drawn(of, found) if found else {}
    parts = [
        *_part(STARTS, how_to_read.STARTS, starts),
        *_part(FAULTS, how_to_read.FAULTS, effects),
        *(figure_link(key, of_faults.SHOWS) for key in drawn),
        *_part(CHANGES, how_to_read.ONE_SETTING, changes),
    ]
    section = _section(of, "What one setting changes", parts, (*starts, *effects, *changes))
    return dataclasses.replace(section, figures=drawn)


def _section(of: Compared, title: str, parts: Sequence[str], tables: tuple[Table, ...]) -> Section:
    cell = of.cell
    kind = "one-setting" if cell.test else "validation"
    mark = "LEAKY: " if cell.split_by == "image" else ""
    where = (cell.data, f"{cell.folds} folds" if cell.folds else "")
    before = [
        f"# {escape(f'{mark}{title}: ' + ', '.join(filter(None, where)))}",
        quality.FOLDS_DEPEND if cell.folds > 1 else "",
        f"Machine: {escape(of.machines)}.",
    ]
    return Section(
        text="\n\n".join(part.strip() for part in (*before, *parts) if part) + "\n",
        tables={f"{of.slug}-{kind}": tables},
        page=page_name(*where, mark, title),
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
            *(_kept(each), word(formats.counts(list(each.seeds))), _images(max(each.seeds.values(), key=len))),
        )
        for each, found in judged
    )
    return Table(_noted("Settings, best first", of), columns, rows)


def _changes(of: Compared, changes: Sequence[Change]) -> list[Table]:
    """A table with a row for each two variants that differ in one setting alone; none if there are none."""
    columns = (*map(words, ("model", "setting", "a", "b", "the other settings", "backend")), *_differences("b - a"))
    names = _other_settings(of)
    rows = tuple(_change(change, names) for change in changes)
    return [Table(_noted("What one setting changes", of), columns, rows)] if rows else []


def _change(change: Change, names: Sequence[str]) -> tuple[Entry, ...]:
    a, b, setting = change.a.cell, change.b.cell, change.setting
    others = [name for name in names if name != setting]
    model = Line.of(a).title if setting != "model" else ""
    start = "" if setting in ("weights", "model") else f"start {Line.of(a).start_weights}"
    return (
        *map(word, (model, setting.replace("_", " "), value_word(a, setting), value_word(b, setting))),
        *map(word, (", ".join(filter(None, (start, value_words(a, others)))), change.a.software)),
        *_shown(change),
    )


def _starts(of: Compared) -> list[Table]:
    """A table with a row for each pretrained and random start of a model, without faults; none if there are none."""
    columns = (
        *map(words, ("model", "a", "b", "backend", "settings of a", "settings of b")),
        *_differences("b - a"),
    )
    rows = tuple(_start(variants.start(a, b)) for a, b in _pairs(of))
    return [Table(_noted("Pretrained less random weights", of), columns, rows)] if rows else []


def _pairs(of: Compared) -> list[tuple[Variant, Variant]]:
    return variants.starts([variant for variant in of.variants if not faults.has_fault(variant.cell)])


def _start(change: Change) -> tuple[Entry, ...]:
    cells = (change.a.cell, change.b.cell)
    names = variants.differing((change.a, change.b))
    settings = (value_words(cell, [name for name in names if name != "weights"]) or "the same" for cell in cells)
    starts = (Line.of(cell).start_weights for cell in cells)
    return (*map(word, (Line.of(cells[0]).title, *starts, change.a.software, *settings)), *_shown(change))


def _differences(what: str) -> tuple[Column, ...]:
    metrics_of = (figures(f"{metric.title}, {what} (95%)") for metric in variants.COMPARED)
    return (*metrics_of, figures("seeds"), figures("images (groups)"))


def _shown(change: Change) -> tuple[Entry, ...]:
    """What stands in the columns of `_differences`."""
    return (
        *(Entry(change.differences[metric.name], formats.difference) for metric in variants.COMPARED),
        *(word(formats.counts(list(change.seeds))), _images(change.most_images)),
    )


def _other_settings(of: Compared) -> list[str]:
    """The settings in which variants differ, beside model and weights, which have columns of their own."""
    return [name for name in variants.differing(of.variants) if name not in ("model", "weights")]


def _kept(of: Variant) -> Entry:
    """The epoch whose weights were judged: the median of seeds and folds, the least and the largest."""
    kept = tuple(value for record in of.records if (value := record.value("kept_epoch")) is not None)
    return Entry(kept, functools.partial(formats.median, digits=0))


def _images(of: Scored) -> Entry:
    return Entry(of.counts, formats.images_of_groups)


def _noted(title: str, of: Compared) -> str:
    return titles.with_note(title, _note(of))


def _note(of: Compared) -> str:
    """On how little figures rest; empty if on enough."""
    records = [record for variant in of.variants for record in variant.records]
    return titles.note(records, "test" if of.cell.test else "val")
