"""The sections of the leakage premium: how much better models look if the data is split by image, not by group."""

from __future__ import annotations

from collections.abc import Sequence

from bcdl.evaluation import leakage_premium
from bcdl.evaluation.leakage_premium import Premium, Verdict
from bcdl.records.groups import Group, together
from bcdl.report import formats, how_to_read, titles
from bcdl.report.section import Section, page_name
from bcdl.report.sections import facts, quality
from bcdl.report.tables import Entry, Table, count, figures, number, word, words
from bcdl.text import escape

_COLUMNS = (
    *(words("model"), words("start"), words("backend"), words("quantity")),
    *(figures("by group"), figures("by image"), figures("by image - by group (95%)"), words("verdict")),
    *(figures("seeds"), figures("images (groups)")),
)
_VERDICTS = {
    Verdict.PREMIUM: "a premium",
    Verdict.DISCOUNT: "a discount",
    Verdict.NOT_DETECTABLE: "no detectable premium",
}


def sections(groups: Sequence[Group]) -> list[Section]:
    """A section for each two groups that differ in the way of their split alone."""
    premium_sections = []
    for by_group, by_image in leakage_premium.pairs(groups):
        premiums = leakage_premium.premiums(by_group, by_image)
        if premiums:
            premium_sections.append(_section(by_group, by_image, premiums))
    return premium_sections


def _section(by_group: Group, by_image: Group, premiums: Sequence[Premium]) -> Section:
    title = f"# The leakage premium: {escape(by_group.title)}"
    how = how_to_read.link(how_to_read.PREMIUM)
    machines = f"Machine: {escape(together([*by_group.machines, *by_image.machines]))}."
    heading = titles.with_note("The leakage premium", titles.note([*by_group.records, *by_image.records]))
    table = Table(heading, _COLUMNS, tuple(map(_row, premiums)))
    return Section(
        text="\n\n".join([title, how, quality.FOLDS_DEPEND, machines, table.to_markdown()]) + "\n",
        tables={f"{by_group.slug}-premium": (table,)},
        page=page_name(*facts.page_words(by_group), "leakage premium"),
    )


def _row(premium: Premium) -> tuple[Entry, ...]:
    return (
        *map(word, (premium.line.title, premium.line.start, premium.backend, premium.metric.title)),
        number(premium.by_group, 3),
        number(premium.by_image, 3, flag=" (LEAKY)"),
        Entry(premium.difference, formats.difference),
        word(_VERDICTS[premium.verdict]),
        count(premium.seeds),
        Entry((premium.images, premium.groups, premium.ungrouped), formats.images_of_groups),
    )
