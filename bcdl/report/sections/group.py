"""The section of a group: what its records say, in tables, figures, cards and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bcdl.evaluation import estimates, utilisation
from bcdl.records.groups import Group
from bcdl.report.section import Section, card_path, figure_link
from bcdl.report.sections import agreement, card, facts, phases, quality
from bcdl.report.sections import utilisation as utilisation_part
from bcdl.report.sections.metrics import (
    ENERGY,
    INPUT,
    METRICS,
    QUALITY,
    STALENESS,
    STARTUP,
    WARM,
    MetricRow,
    metric_table,
    recordable,
)
from bcdl.report.tables import Table
from bcdl.text import escape

_SPREAD_TEXT = """\
In these first tables a figure is the median over seeds and folds, and in brackets are the least and the largest of
them. Figures of quality with intervals over patients follow below.
"""

_STALENESS_TEXT = """\
The same training images, not augmented, scored twice after the last epoch: in training mode (normalised by the batch's
own statistics, dropout active) and in inference mode (normalised by moving averages). Where the second lies far below
the first, the moving averages have not settled in so few steps, and the test figures above are those of stale
statistics rather than of the weights. The source study's curves show the same fault.
"""


def section(group: Group, pngs: dict[str, bytes]) -> Section:
    """The section of a group, with its figures, by key."""
    timed = group.first.cell.timing
    results = estimates.results(group)
    limit = utilisation.peaks(group)
    metrics = _tables(group, recordable(METRICS, group.records) if timed else QUALITY)
    energy = _tables(group, (*_recorded(group, INPUT), *(ENERGY if _recorded(group, ENERGY) else ())))
    startup = _tables(group, (*STARTUP, *_recorded(group, WARM)) if timed else ())
    where = phases.phase_tables(group)
    utilised = utilisation_part.utilisation_tables(group, limit) if limit else ()
    costs = (utilisation_part.cost_table(group),) if limit else ()
    staleness = _tables(group, STALENESS)
    quality_text, quality_tables = quality.section(group, results)
    agreement_text, agreement_tables = agreement.section(group)
    cards = card.cards(group, results)
    parts = [
        f"## {escape(group.title)}",
        facts.group_facts(group),
        _SPREAD_TEXT.strip() if any(len(group.draws(line)) > 1 for line in group.lines) else "",
        *_markdown((*metrics, *energy)),
        quality_text,
        agreement_text,
        _card_links(cards),
        *(["### Before the steady state", *_markdown(startup)] if timed else []),
        *(["### Where does the time go?", phases.TEXT.strip(), *_markdown(where)] if where else []),
        *(["### How far from the device's limit?", utilisation_part.text(group, limit)] if limit else []),
        *_markdown((*utilised, *costs)),
        *("### Have the batch norms settled?", _STALENESS_TEXT.strip(), *_markdown(staleness)),
        _failures(group),
        *("### Plots", *map(figure_link, pngs)),
    ]
    tables = {
        "": (*metrics, *energy, *startup, *utilised, *staleness),
        "-cost": costs,
        "-phases": where,
        "-quality": quality_tables,
        "-agreement": agreement_tables,
    }
    return Section(
        text="\n\n".join(part for part in parts if part) + "\n",
        tables={f"{group.slug}{suffix}": made for suffix, made in tables.items() if made},
        figures=pngs,
        cards=cards,
    )


def _tables(group: Group, rows: Iterable[MetricRow]) -> tuple[Table, ...]:
    return tuple(metric_table(group, row) for row in rows)


def _markdown(tables: Sequence[Table]) -> list[str]:
    return [table.to_markdown() for table in tables]


def _recorded(group: Group, rows: Iterable[MetricRow]) -> tuple[MetricRow, ...]:
    """Those of the rows that a record of the group has."""
    return tuple(row for row in rows if any(row.name in record.metrics for record in group.records))


def _card_links(cards: Iterable[str]) -> str:
    links = ", ".join(f"[{key}]({card_path(key)})" for key in cards)
    return f"Model cards: {links}" if links else ""


def _failures(group: Group) -> str:
    if not group.failures:
        return ""
    lines = [f"- {escape(f'{r.cell.title}: {r.status}: {r.reason}')}" for r in group.failures]
    return "### Cells that are not ok\n\n" + "\n".join(lines)
