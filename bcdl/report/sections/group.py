"""The section of a group: what its records say, in tables, figures, cards and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bcdl.evaluation import estimates, utilisation
from bcdl.evaluation.utilisation import Peaks
from bcdl.records.groups import Group
from bcdl.report import how_to_read, plots
from bcdl.report.section import Section, card_path, figure_link, page_name
from bcdl.report.sections import agreement, card, facts, phases, quality
from bcdl.report.sections import utilisation as utilisation_part
from bcdl.report.sections.metrics import (
    ENERGY,
    INPUT,
    SPEED,
    STALENESS,
    STARTUP,
    WARM,
    MetricRow,
    merged_table,
    metric_table,
    quality_rows,
    recordable,
)
from bcdl.report.tables import Table
from bcdl.text import escape


def section(group: Group, pngs: dict[str, bytes]) -> Section:
    """The section of a group, with its figures, by key."""
    results = estimates.results(group)
    limit = utilisation.peaks(group)
    quality_text, quality_tables = quality.section(group, results)
    agreement_text, agreement_tables = agreement.section(group)
    where = phases.phase_tables(group)
    costs = (utilisation_part.cost_table(group),) if limit else ()
    cards = card.cards(group, results)
    parts = [
        f"# {escape(group.title)}",
        _summary(group),
        _card_links(cards),
        quality_text,
        agreement_text,
        _start(group),
        "\n\n".join(["## Where does the time go?", how_to_read.link(how_to_read.PHASES), *_markdown(where)])
        if where
        else "",
        utilisation_part.part(group, limit, costs) if limit else "",
        _settled(group),
        _failures(group),
        "\n\n".join(["## Plots", *(figure_link(key, plots.shows(key.rpartition("/")[2])) for key in pngs)])
        if pngs
        else "",
        f"## What was run\n\n{facts.group_facts(group)}",
    ]
    tables = {
        "": _for_programs(group, limit),
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
        page=page_name(*facts.page_words(group)),
    )


def _summary(group: Group) -> str:
    """Quality, rates, and what a cell takes, each in one table."""
    cell = group.first.cell
    rows = recordable(SPEED, group.records) if cell.timing else ()
    shown = {
        f"Accuracy, AUROC and loss on {'test' if cell.test else 'validation'} images": quality_rows(cell),
        "Speed": [row for row in rows if row.rate],
        "First step and memory": [row for row in rows if not row.rate],
        "Input pipeline and energy": _energy(group),
    }
    tables = (merged_table(group, title, of_table) for title, of_table in shown.items() if of_table)
    return "\n\n".join([how_to_read.link(how_to_read.RATES), *(table.to_markdown() for table in tables)])


def _start(group: Group) -> str:
    if not group.first.cell.timing:
        return ""
    table = merged_table(group, "Import, build and warm-up", _startup(group))
    return f"## Before the steady state\n\n{table.to_markdown()}"


def _settled(group: Group) -> str:
    table = merged_table(group, "Accuracy on the same training images", STALENESS)
    heading = "## Have the batch norms settled?"
    return "\n\n".join([heading, how_to_read.link(how_to_read.SETTLED), table.to_markdown()])


def _for_programs(group: Group, limit: Peaks | None) -> tuple[Table, ...]:
    """A table a metric, of which the page shows several in one."""
    timed = group.first.cell.timing
    return (
        *_tables(group, quality_rows(group.first.cell)),
        *_tables(group, recordable(SPEED, group.records) if timed else ()),
        *_tables(group, _energy(group)),
        *_tables(group, _startup(group) if timed else ()),
        *(utilisation_part.utilisation_tables(group, limit) if limit else ()),
        *_tables(group, STALENESS),
    )


def _energy(group: Group) -> tuple[MetricRow, ...]:
    return (*_recorded(group, INPUT), *(ENERGY if _recorded(group, ENERGY) else ()))


def _startup(group: Group) -> tuple[MetricRow, ...]:
    return (*STARTUP, *_recorded(group, WARM))


def _tables(group: Group, rows: Iterable[MetricRow]) -> tuple[Table, ...]:
    return tuple(metric_table(group, row) for row in rows)


def _markdown(tables: Sequence[Table]) -> list[str]:
    return [table.to_markdown() for table in tables]


def _recorded(group: Group, rows: Iterable[MetricRow]) -> tuple[MetricRow, ...]:
    """Those of the rows that a record of the group has."""
    return tuple(row for row in rows if any(row.name in record.metrics for record in group.records))


def _card_links(cards: Mapping[str, str]) -> str:
    links = ", ".join(f"[{escape(_card_title(text))}](../{card_path(key)})" for key, text in cards.items())
    return f"Model cards: {links}." if links else ""


def _card_title(text: str) -> str:
    """The heading of a card, without what all cards begin with."""
    return text.partition("\n")[0].partition(": ")[2]


def _failures(group: Group) -> str:
    if not group.failures:
        return ""
    lines = [f"- {escape(f'{r.cell.title}: {r.status}: {r.reason}')}" for r in group.failures]
    return "## Cells that are not ok\n\n" + "\n".join(lines)
