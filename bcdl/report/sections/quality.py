"""The part of a group's section that says how good its models are at diagnosis, and how sure that is."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from bcdl.evaluation import estimates, few, metrics, smoke
from bcdl.evaluation.estimates import Estimate, Result
from bcdl.evaluation.metrics import Metric
from bcdl.evaluation.scored import Scored
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report import formats, how_to_read, titles
from bcdl.report.section import anchor
from bcdl.report.tables import Entry, Table, absent, count, figures, number, word, words

BY_GROUP, NOT_KNOWN = "by group", "patients not known"
_LEAKY_TEXT = """\
**LEAKY**: the split was by image, so that a model was tested on patients whose other images it was trained on. These
figures say nothing of new patients; they are here to show what the wrong way would have said.
"""

_FIRST_SEEDS = (
    f"Some models have more than {estimates.MOST_SEEDS} seeds: a figure is the mean over all, its interval and the "
    "band of a ROC curve are those of the first by number, about that mean, and reliability is that of these."
)

FOLDS_DEPEND = (
    "**Intervals of a cross-validation are too narrow**: they take the folds for independent "
    f"([why]({how_to_read.PAGE}.md#{anchor(how_to_read.QUALITY)}))."
)


def section(group: Group, results: Sequence[Result]) -> tuple[str, tuple[Table, ...]]:
    """The group's part of the page, in Markdown, and the same figures as tables for programs, one a metric.

    Both are empty if no record holds predictions. `results` are those of the whole group.
    """
    if not results:
        return "", ()
    lines = [line for line in group.lines if any(result.line == line for result in results)]
    shown = [_line_table(group, line, [r for r in results if r.line == line]).to_markdown() for line in lines]
    return part(group, "How good, and how sure?", [_text(group, results), *shown]), tidy_tables(group, results)


def part(group: Group, title: str, paragraphs: Sequence[str]) -> str:
    """A part of the page under its title; folded up if it is of drawings, which say nothing of a model's worth."""
    body = "\n\n".join(paragraphs)
    if group.synthetic:
        body = f"<details><summary>Of drawings: a test of the harness alone</summary>\n\n{body}\n\n</details>"
    return f"## {titles.of_quality(group, title)}\n\n{body}"


def split_of(group: Group) -> str:
    """How the group's data was split, for tables that programs read."""
    return split_words(group.first)


def split_words(record: Record) -> str:
    """What the split never cuts, if that is known: one that came with the data may cut patients whom nobody knows."""
    if record.cell.split_by == "image":
        return "by image (LEAKY)"
    known = record.dataset.get("synthetic") or record.dataset.get("grouped", True)
    return BY_GROUP if known else NOT_KNOWN


@functools.lru_cache(maxsize=1)  # each row of a table says it
def is_smoke_test(group: Group) -> str:
    """Whether the group's test set is a smoke test, for tables that programs read."""
    return "yes" if smoke.note(group.records) else "no"


@functools.lru_cache(maxsize=1)
def few_of_a_class(group: Group) -> str:
    """On how few images of a class the group's figures rest, for tables that programs read."""
    return few.note(group.records) or "no"


def applicable(results: Sequence[Result]) -> list[Metric]:
    """The metrics that the results can have: some are of patients, who may not be known."""
    grouped = any(result.largest.grouped for result in results)
    return [metric for metric in metrics.METRICS if grouped or not metric.by_patient]


def title_of(metric: Metric, results: Sequence[Result]) -> str:
    """The metric's title; one of patients says how many images count as a patient of their own, if some do."""
    unknown = max((result.largest.ungrouped for result in results), default=0)
    return metric.title + (formats.of_no_known_patient(unknown) if metric.by_patient else "")


def _text(group: Group, results: Sequence[Result]) -> str:
    """How to read the tables, what so many images can show, and a warning if the split leaks or folds depend."""
    largest = max((result.largest for result in results), key=len)
    parts = [
        f"{how_to_read.link(how_to_read.QUALITY)} {_width(largest)}",
        _LEAKY_TEXT.strip() if group.mark else "",
        FOLDS_DEPEND if group.first.cell.folds > 1 else "",
        _FIRST_SEEDS if any(len(result.seeds) > estimates.MOST_SEEDS for result in results) else "",
    ]
    return "\n\n".join(filter(None, parts))


def _width(scored: Scored) -> str:
    """How far apart two accuracies must lie for so many images to show it, in a sentence."""
    reach = 1.96 * math.sqrt(0.8 * 0.2 / scored.group_count)
    groups = ""
    if scored.grouped:
        groups = f" of {scored.group_count} groups" + (
            f" ({scored.ungrouped} of no known patient)" * bool(scored.ungrouped)
        )
    return f"{len(scored)} test images{groups} can't tell an accuracy of 0.8 from one {formats.fixed(reach, 2)} away."


def _line_table(group: Group, line: Line, results: Sequence[Result]) -> Table:
    """Metrics down, backends across; then the images and seeds they are of."""
    measured = {result.backend: result for result in results}
    reference = max(results, key=lambda result: len(result.largest)).reference
    several = [backend for backend in group.backends if backend in measured and len(measured[backend].seeds) > 1]
    rows = []
    for metric in applicable(results):
        values = [
            _metric_entry(measured[backend], metric) if backend in measured else absent() for backend in group.backends
        ]
        spreads = [_spread(measured[backend].estimates[metric.name]) for backend in several]
        rows.append((word(title_of(metric, results)), number(reference[metric.name], 3), *values, *spreads))
    facts: dict[str, Callable[[Result], str]] = {"Test images (groups)": _images, "Seeds": _seeds}
    for title, fact in facts.items():
        values = [
            word(fact(measured[backend])) if backend in measured else _status(group, line, backend)
            for backend in group.backends
        ]
        rows.append((word(title), absent(), *values, *[absent()] * len(several)))
    columns = (words("quantity"), figures("majority class"), *map(figures, group.backends))
    spread_columns = (figures(f"{backend}, seeds") for backend in several)
    title = titles.of_quality(group, f"{line.title}, start: {line.start}")
    return Table(title, (*columns, *spread_columns), tuple(rows))


def _metric_entry(result: Result, metric: Metric) -> Entry:
    estimate = result.estimates[metric.name]
    return Entry(estimate, formats.estimate, flag="*" if result.dirty and not math.isnan(estimate.value) else "")


def _spread(estimate: Estimate) -> Entry:
    return Entry(estimate.seeds, functools.partial(formats.spread, digits=3, missing=formats.NOT_DEFINED))


def _images(result: Result) -> str:
    sizes = (
        (len(scores), scores.group_count, scores.ungrouped if scores.grouped else 0) for scores in result.seeds.values()
    )
    return ", ".join(dict.fromkeys(map(formats.images_of_groups, sizes)))


def _seeds(result: Result) -> str:
    """The seeds there are, and how many runs are missing from them."""
    failed = sum(not record.ok for record in result.records)
    missing = f" ({failed} {'run' if failed == 1 else 'runs'} not ok)" if failed else ""
    return formats.counts(list(result.seeds)) + missing


def _status(group: Group, line: Line, backend: str) -> Entry:
    """Why a backend has no result."""
    records = group.of(line, backend)
    failed = [record.status for record in records if not record.ok]
    if failed:
        return Entry(failed[0], formats.status)
    return absent("no predictions" if records else formats.NOT_RUN)


_TIDY_COLUMNS = (
    *map(words, ("model", "start", "backend", "split")),
    *map(figures, ("value", "low", "high", "majority class", "seeds", "seeds min", "seeds max", "images", "groups")),
    figures("images of no known patient"),
    *(figures("undefined resamples"), words("uncommitted changes"), words("smoke test"), words("few of a class")),
)


def tidy_tables(group: Group, results: Sequence[Result]) -> tuple[Table, ...]:
    """One table a metric, every number in a column of its own; empty if it is not defined."""
    return tuple(
        Table(metric.title, _TIDY_COLUMNS, tuple(_tidy_row(group, result, metric) for result in results))
        for metric in applicable(results)
    )


def _tidy_row(group: Group, result: Result, metric: Metric) -> tuple[Entry, ...]:
    estimate = result.estimates[metric.name]
    measured = (estimate.value, estimate.low, estimate.high, result.reference[metric.name])
    return (
        *map(word, (result.line.title, result.line.start, result.backend, split_of(group))),
        *(number(value, 3) for value in measured),
        count(len(result.seeds)),
        *(number(value, 3) for value in (min(estimate.seeds), max(estimate.seeds))),
        count(len(result.largest)),
        count(result.largest.group_count),
        count(result.largest.ungrouped),
        count(estimate.undefined),
        word("yes" if result.dirty else "no"),
        word(is_smoke_test(group)),
        word(few_of_a_class(group)),
    )
