"""The first page: the answer for one machine on one screen, what is not known, and where the rest stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from bcdl import backends
from bcdl.evaluation import estimates, faults, few, metrics, smoke
from bcdl.evaluation.estimates import Result
from bcdl.parity.verdicts import Verdicts
from bcdl.records.groups import Group, Line, group_records
from bcdl.records.record import Record
from bcdl.records.store import PAGES
from bcdl.report import answer, figures, formats, how_to_read, titles
from bcdl.report.answer import NEVER_MEASURED, NOT_COMPARABLE, Answer
from bcdl.report.plots import answered
from bcdl.report.section import Section, anchor, figure_link, headings, page_name, page_path
from bcdl.report.sections import experiments, sides_in_turn, variants
from bcdl.report.sources import Sources
from bcdl.report.tables import Entry, Table, absent, count, number, word, words
from bcdl.report.tables import figures as columns_of
from bcdl.settings.cell import Cell
from bcdl.settings.models import place_of
from bcdl.statistics.ranking import UNDECIDED
from bcdl.text import escape, safe_name

MOST_LINES = 120
# So many rows, sentences and links stand on the page; the rest is on the pages behind it.
_MOST_ROWS, _MOST_SENTENCES, _MOST_OF_QUALITY, _MOST_LINKS, _MOST_UNKNOWN = 14, 7, 7, 20, 5
_REAL_METRICS = (metrics.BY_NAME["auroc"], metrics.BY_NAME["accuracy"])
_SHOWS = "Training steps, images/s, of each model on each backend, with intervals"


@dataclasses.dataclass(frozen=True)
class Known:
    """What the first page is made of.

    Attributes:
        records: all of them, the oldest first, each with its machine.
        verdicts: on the parity of the backends.
        groups: the groups of the records that were not measured in turn.
        sections: the pages behind the first one.
    """

    records: Sequence[tuple[str, Record]]
    verdicts: Verdicts
    groups: Sequence[Group]
    sections: Sequence[Section]

    @classmethod
    def of(cls, sources: Sources) -> Known:
        """What the sources say; the sections are none yet."""
        verdicts = Verdicts(sources.findings)
        # The rounds of sides in turn have a section of their own: in a group each would look like a seed of its cell.
        apart = [(machine, record) for machine, record in sources.records if not record.block]
        return cls(sources.records, verdicts, group_records(apart, verdicts), ())

    @property
    def machines(self) -> list[str]:
        """Those that timed a cell, that which the first page is about first; if none did, all, the newest first."""
        newest_first = sorted(self.records, key=lambda pair: pair[1].started, reverse=True)
        return answer.machines(self.records) or list(dict.fromkeys(machine for machine, _ in newest_first))

    def answer(self, machine: str) -> Answer:
        return answer.of_machine(machine, self.records, self.groups, self.verdicts)


def first_page(known: Known) -> tuple[str, dict[str, bytes]]:
    """The page below its beginning, Markdown, with links relative to the results folder; and its figure."""
    if not known.machines:
        return "\n".join(["There are no records yet.", "", *_links(known.sections)]) + "\n", {}
    answered_there = known.answer(known.machines[0])
    shown, drawn = _answer(answered_there, known.records, f"{PAGES}/", "")
    parts = [
        *shown,
        *_real_data(known.groups, f"{PAGES}/"),
        "## What we do not know",
        "\n".join(f"- {escape(line)}" for line in unknown(answered_there, known)),
        "## Where is what",
        "\n".join(_questions(answered_there, known)),
        "## Pages",
        "\n".join(_links(known.sections)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n", drawn


def machine_sections(known: Known) -> list[Section]:
    """A section for each machine that timed something, but the one that the first page is about."""
    return [_machine_section(machine, known) for machine in known.machines[1:]]


def machine_page(machine: str) -> str:
    """The name of a machine's page."""
    return page_name("answer on", machine)


def _machine_section(machine: str, known: Known) -> Section:
    shown, drawn = _answer(known.answer(machine), known.records, "", "../")
    return Section(
        "\n\n".join([f"# Answer on {escape(machine)}", *shown]) + "\n", figures=drawn, page=machine_page(machine)
    )


def _answer(
    made: Answer, records: Iterable[tuple[str, Record]], to_pages: str, to_results: str
) -> tuple[list[str], dict[str, bytes]]:
    """The answer in Markdown, and its figure; the ways from the page to the pages and to the results folder."""
    rates, costs = answer.tables(dataclasses.replace(made, rows=made.rows[:_MOST_ROWS]))
    parts = [_head(made, to_pages), rates.to_markdown(), costs.to_markdown()]
    left_out = len(made.rows) - _MOST_ROWS
    if left_out > 0:
        parts.append(f"{left_out} more rows are on the pages below.")
    if said := [row.sentence for row in made.rows if row.sentence]:
        parts.append("\n".join(f"- {escape(sentence)}" for sentence in said[:_MOST_SENTENCES]))
    if not made.rows:
        return parts[:1], {}
    own = [record for machine, record in records if machine == made.machine]
    drawn = figures.to_pngs(f"answer-on-{safe_name(made.machine)}", [("training-steps", answered.picture(made))], own)
    parts += [figure_link(key, f"{_SHOWS}, on {made.machine}", to_results) for key in drawn]
    return parts, drawn


def _head(made: Answer, to_pages: str) -> str:
    """Which machine it is about, and what the words of its table mean."""
    day = max((record.started for row in made.rows for record in row.records.values()), default="")[:10]
    where = f"On **{escape(made.machine)}**" + (
        f", newest rate of {day}" if day else ", which has no rate of steps yet"
    )
    winners = f"[how to read it]({to_pages}{how_to_read.PAGE}.md#{anchor(how_to_read.WINNERS)})"
    return (
        f"{where}. A backend is *fastest* only beyond doubt, of rounds in turn; what was measured "
        f"*{NOT_COMPARABLE}* has no winner ({winners})."
    )


def _real_data(groups: Sequence[Group], to_pages: str) -> list[str]:
    """How good the models are on real images: a row for each data set, model and start, if its split does not leak.

    Of several such trainings, that one which was tested on the most images, and of these the newest. A smoke test shows
    nothing, and a training with a fault that was switched on nothing of the model.
    """
    newest: dict[tuple[object, ...], tuple[Group, Line]] = {}
    most: dict[tuple[object, ...], int] = {}
    for group in sorted(groups, key=lambda group: max(record.started for record in group.records)):
        if group.synthetic or group.mark or smoke.note(group.records):
            continue
        for line in group.lines:
            key, images = (group.first.cell.data, line), estimates.most_tested(group, line)
            if images and images >= most.get(key, 0):
                newest.pop(key, None)  # so that the last are the newest
                newest[key], most[key] = (group, line), images
    if not newest:
        return [
            "## Accuracy on real data",
            "No model was tested on enough real images yet: drawings show nothing of how good one is.",
        ]
    sound = [(group, line) for group, line in newest.values() if not faults.has_fault(_cell(group, line))]
    shown = _every_model_first(sound or list(newest.values()))[:_MOST_OF_QUALITY]
    made = [(group, estimates.of_line(group, line, _REAL_METRICS)) for group, line in shown]
    made.sort(key=lambda pair: _place(*pair))
    tables = [_quality_table(metric.title, metric.name, made).to_markdown() for metric in _REAL_METRICS]
    sentences = variants.quoted(groups)[:_MOST_SENTENCES]
    if left_out := len(newest) - len(shown):
        faulty = len(newest) - len(sound)
        of_them = f", {faulty} of them with a fault of the source study" if faulty else ""
        sentences.append(f"Other ways of training are on the pages below: {left_out}{of_them}.")
    quoted = "\n".join(f"- {escape(sentence)}" for sentence in sentences)
    return ["## Accuracy on real data", how_to_read.link(how_to_read.QUALITY, to_pages), *tables, quoted]


def _every_model_first(oldest_first: Sequence[tuple[Group, Line]]) -> list[tuple[Group, Line]]:
    """The newest line of each model and data set, then the others, the newest first."""
    newest_first = list(reversed(oldest_first))
    first = {(group.first.cell.data, line.model): (group, line) for group, line in oldest_first}
    return [*first.values(), *(each for each in newest_first if each not in first.values())]


def _place(group: Group, results: Sequence[Result]) -> tuple[object, ...]:
    """Where the row of a line stands: by data and model, the largest images first, then the most of them."""
    cell, first = group.first.cell, results[0]
    return cell.data, place_of(first.line.model), -cell.image_size, -len(first.largest), first.line.start


def _cell(group: Group, line: Line) -> Cell:
    return group.ok_records(line)[0].cell


def _quality_table(title: str, metric: str, made: Sequence[tuple[Group, Sequence[Result]]]) -> Table:
    """Models down, backends across: the metric with its interval."""
    names = sorted({result.backend for _, results in made for result in results})
    rows = []
    for group, results in made:
        by_backend = {result.backend: result.estimates[metric] for result in results}
        cell, first = group.first.cell, results[0]
        split = formats.folds(len(first.largest.parts), cell.folds)
        entries = (
            Entry(by_backend[name], formats.estimate) if name in by_backend else absent(formats.NOT_RUN)
            for name in names
        )
        described = (first.line.title, first.line.short_start, cell.data, split)
        sizes = (count(cell.image_size), count(len(first.largest)), number(first.reference[metric], 3))
        rows.append((*map(word, described), *sizes, *entries))
    columns = (
        *map(words, ("model", "start", "data", "tested on")),
        *map(columns_of, ("px", "images", "majority class", *names)),
    )
    rests = "; ".join(dict.fromkeys(filter(None, (few.note(group.records) for group, _ in made))))
    return Table(titles.with_note(f"{title}, with 95% intervals", rests), columns, tuple(rows))


def unknown(made: Answer, known: Known) -> list[str]:
    """What the records leave open, the weightiest first."""
    rows, lines = made.rows, []
    if apart := [row for row in rows if row.ranking is None]:
        lines.append(f"Which backend is the fastest for {_models(apart)}: nothing was measured in turn.")
    if undecided := list(filter(None, map(_undecided, rows))):
        lines.append(f"Which is faster: {'; '.join(undecided)}.")
    if made.failed:
        tried = ", ".join(f"{title} ({count} record{'s' * (count > 1)})" for title, count in made.failed.items())
        lines.append(f"How fast these are, which were tried here: {tried}. None has a rate; their pages say why.")
    if made.missing:
        lines.append(f"How fast {', '.join(made.missing)} is on this machine: {NEVER_MEASURED}.")
    if doubtful := list(filter(None, map(_doubtful, rows))):
        lines.append(f"How fast a machine is that nothing disturbs: doubtful are {', '.join(doubtful)}.")
    if lacking := [f"{row.line.title} on {name}" for row in rows for name in _lacking(row)]:
        lines.append(f"How these compare, which were not in the rounds of the others: {', '.join(lacking)}.")
    if unjudged := [row for row in rows if row.same == "not known"]:
        lines.append(f"Whether all backends compute the same for {_models(unjudged)}, of these versions.")
    on_gpus = {record.cell.backend for _, record in known.records if record.ok and record.cell.device == "gpu"}
    if without := [name for name in backends.NAMES if name not in on_gpus]:
        lines.append(f"How fast {', '.join(without)} is on a GPU: there is no record.")
    if not any(_is_of_one_backend(run) for run in sides_in_turn.read(known.records)):
        lines.append("What an upgrade changes: two versions of one backend were never measured in turn.")
    if not any(not group.synthetic for group in known.groups):
        lines.append("How good any model is on real images: only drawings were used.")
    return lines[:_MOST_UNKNOWN] or ["Nothing that this page asks was left open by the records."]


def _models(rows: Iterable[answer.Row]) -> str:
    return ", ".join(dict.fromkeys(row.line.title for row in rows))


def _undecided(row: answer.Row) -> str:
    """The backends between which the rounds decided nothing, and how many rounds that were; empty if none did."""
    near = row.ranking.named(UNDECIDED) if row.ranking is not None else []
    if row.ranking is None or not near:
        return ""
    rounds = min(standing.processes for standing in row.ranking.standings)
    return f"{' or '.join([row.ranking.first.name, *near])} at {row.line.title} (open after {rounds} rounds)"


def _doubtful(row: answer.Row) -> str:
    """How many of the row's rates in turn are doubtful; empty if none is. Others are marked in their table."""
    doubtful, rates = row.doubtful
    return f"{doubtful} of {rates} rates of {row.line.title}" if row.ranking is not None and doubtful else ""


def _lacking(row: answer.Row) -> list[str]:
    """The backends that were not measured in turn with the others of the row; none if nothing was."""
    if row.ranking is None:
        return []
    ranked = [standing.name for standing in row.ranking.standings]
    return [name for name in backends.NAMES if name not in ranked]


def _is_of_one_backend(run: sides_in_turn.SidesInTurn) -> bool:
    return len(run.backends()) == 1


def _questions(made: Answer, known: Known) -> list[str]:
    """The questions that the tables above do not answer, each with its answer or the page that has it."""
    hours = "; ".join(filter(None, map(answer.an_hour, made.rows)))
    turned = next((section for section in known.sections if section.page == sides_in_turn.PAGE), None)
    upgrades = [run for run in sides_in_turn.read(known.records) if _is_of_one_backend(run)]
    upgrade = "two versions of one backend were never measured in turn (`nox -s bench-ab` does it)"
    if turned and upgrades:
        upgrade = f"[sides in turn]({page_path(turned.page)})"
    lines = [
        f"What does an hour of this machine give? Images trained: {escape(hours)}." if hours else "",
        _by_heading("What does a core give?", "what cores give", "cores", known.sections),
        f"What did an upgrade change? {upgrade[:1].upper()}{upgrade[1:]}.",
        _by_heading("Which settings are best?", "the best of those that were tried", experiments.BEST, known.sections),
        _by_heading("What does a setting change about accuracy?", "one at a time", variants.CHANGES, known.sections),
        _by_heading("What do the source study's faults do?", "each alone", variants.FAULTS, known.sections),
        _by_heading("How far is that from the hardware's limit?", "the share of it", "limit", known.sections),
    ]
    return [f"- {line}" for line in lines if line]


def _by_heading(question: str, text: str, words_of: str, sections: Iterable[Section]) -> str:
    """The question with links to the parts whose heading has these words, or that nothing was measured."""
    places = [
        f"[{text}, {section.title}]({page_path(section.page)}#{anchor(heading)})"
        for section in sections
        for heading in headings(section.text)
        if words_of.lower() in heading.lower() and section.page != how_to_read.PAGE
    ]
    return f"{question} {'; '.join(places[:2]) or 'That was not measured'}."


def all_pages(sections: Sequence[Section]) -> Section | None:
    """The page that names all pages; None if the first page has room for them."""
    if len(sections) <= _MOST_LINKS:
        return None
    lines = [f"- [{section.title}]({section.page}.md)" for section in sections]
    return Section("\n\n".join(["# All pages", "\n".join(lines)]) + "\n", page=page_name("all pages"))


def _links(sections: Sequence[Section]) -> list[str]:
    """A line for each page; if there are too many, the last one leads to a page that names them all."""
    shown = list(sections)
    if len(shown) > _MOST_LINKS:
        shown = [*shown[: _MOST_LINKS - 1], shown[-1]]
    return [f"- [{section.title}]({page_path(section.page)})" for section in shown]
