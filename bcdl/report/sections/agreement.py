"""The part of a group's section that says whether the backend changes the diagnosis."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bcdl.evaluation import agreement, estimates, few, smoke
from bcdl.evaluation.agreement import MARGIN, Agreement, OverSeeds, Pair, Refused, Verdict
from bcdl.records.groups import Group, Line
from bcdl.report import formats, how_to_read, titles
from bcdl.report.sections import quality
from bcdl.report.tables import Entry, Table, absent, count, figures, number, significant, word, words
from bcdl.statistics import effects
from bcdl.statistics.estimated import Estimated
from bcdl.text import escape

# Names listed for one pair on the page; the rest are counted.
MOST_NAMES = 20
# What a verdict holds for, by what sets a pair apart.
_SCOPES = {
    "backends": " of these two trained models (one seed)",
    "seeds": " of these two trained models",
    "machines": " of these two trained models (one seed)",
}
_WITHIN = formats.plain(MARGIN)

_FIRST_SEEDS_TEXT = f"""\
Of a backend that ran more than {estimates.MOST_SEEDS} seeds, the first {estimates.MOST_SEEDS} by number are compared
with each other, and the first {agreement.MOST_SHARED_SEEDS} with those of other backends.
"""

_COLUMNS = (
    *(words("a"), words("b"), words("same")),
    *map(figures, ("agreement", "kappa", "flipped", "right in a, b alone")),
    *map(figures, ("p by image", "p by patient", "p by patient (Holm)")),
    *map(figures, ("largest score difference", "accuracy, b - a", "AUROC, b - a")),
    words("verdict"),
)
_OVER_SEEDS_COLUMNS = (
    *map(words, ("a", "b", "seeds", "accuracy, b - a, by seed")),
    *map(figures, ("accuracy, b - a: mean (95% over seeds)", "95% over seeds and patients")),
    figures("AUROC, b - a (95% over seeds and patients)"),
    words("verdict"),
)


def section(group: Group) -> tuple[str, tuple[Table, ...]]:
    """The group's part of the page, in Markdown, and the same figures as a table for programs.

    Both are empty if no two models could have been compared.
    """
    pairs, refused = agreement.pairs(group)
    paragraphs = [how_to_read.link(how_to_read.AGREEMENT)] if pairs else []
    if pairs and agreement.most_seeds(group) > estimates.MOST_SEEDS:
        paragraphs.append(_FIRST_SEEDS_TEXT.strip())
    for line in group.lines:
        of_line = [pair for pair in pairs if pair.line == line]
        if of_line:
            paragraphs += [_line_table(group, line, of_line).to_markdown(), _summary(of_line)]
            paragraphs += [text for text in (_flips(of_line),) if text]
    over_seeds = agreement.over_seeds(pairs)
    if over_seeds:
        paragraphs += [_over_seeds_table(group, over_seeds).to_markdown()]
    if refused:
        paragraphs.append(_not_compared(group, refused))
    if not paragraphs:
        return "", ()
    kinds = {pair.across for pair in pairs} | {pair.across for pair in refused}
    what = "machine" if kinds == {"machines"} else "backend"
    text = quality.part(group, f"Does the {what} change the diagnosis?", paragraphs)
    return text, (_tidy_table(group, pairs, over_seeds),) if pairs else ()


def _not_compared(group: Group, refused: Sequence[Refused]) -> str:
    lines = [f"{group.label(row.line)}, {row.a} and {row.b}, {row.same}: {row.reason}" for row in refused]
    return f"Not compared: {escape('; '.join(lines))}."


def _line_table(group: Group, line: Line, pairs: Sequence[Pair]) -> Table:
    images = ", ".join(
        dict.fromkeys(
            f"{pair.images} images of {pair.groups} groups{formats.of_no_known_patient(pair.ungrouped)}"
            for pair in pairs
        )
    )
    of_smoke_test = "smoke test: " if smoke.note(group.records) else ""
    title = f"{group.mark}{line.title}, start: {line.start}; {of_smoke_test}{images}"
    rows = (_row(pair, p) for pair, p in zip(pairs, _corrected(pairs), strict=True))
    return Table(titles.with_note(title, few.note(group.records)), _COLUMNS, tuple(rows))


def _corrected(pairs: Sequence[Pair]) -> list[float]:
    """Each pair's p by patient, by Holm's method over the pairs of its kind."""
    p_values = {kind: [pair.agreement.p_by_patient for pair in pairs if pair.across == kind] for kind in _SCOPES}
    of_kind = {kind: iter(effects.holm(of_pairs)) for kind, of_pairs in p_values.items()}
    return [next(of_kind[pair.across]) for pair in pairs]


def _row(pair: Pair, corrected: float) -> tuple[Entry, ...]:
    agreed = pair.agreement
    return (
        *map(word, (pair.a, pair.b, pair.same)),
        number(agreed.share, 3),
        number(agreed.kappa, 3, missing=formats.NOT_DEFINED),
        count(len(agreed.flipped)),
        Entry((agreed.only_a, agreed.only_b), formats.counts),
        *(Entry(p, formats.p_value) for p in (agreed.p, agreed.p_by_patient, corrected)),
        significant(agreed.largest, 2),
        Entry(agreed.accuracy, formats.difference),
        Entry(agreed.auroc, formats.difference),
        word(verdict(agreed, _SCOPES[pair.across])),
    )


def verdict(agreed: Agreement | OverSeeds, scope: str = "") -> str:
    """The verdict on two models or backends in words; `scope` says what it holds for."""
    if agreed.verdict is Verdict.EQUIVALENT:
        empty = "; empty: all images are named one class" if agreed.one_class else ""
        return f"no difference larger than {_WITHIN}{scope}{empty}"
    if agreed.verdict is Verdict.DIFFERENT:
        return f"a difference larger than {_WITHIN}{scope}"
    return "not shown"


def _over_seeds_table(group: Group, rows: Sequence[OverSeeds]) -> Table:
    of_smoke_test = "smoke test: " if smoke.note(group.records) else ""
    title = titles.with_note(f"{group.mark}{of_smoke_test}Two backends over several seeds", few.note(group.records))
    return Table(title, (words("model"), *_OVER_SEEDS_COLUMNS), tuple(_over_seeds_row(group, row) for row in rows))


def _over_seeds_row(group: Group, row: OverSeeds) -> tuple[Entry, ...]:
    return (
        *map(word, (group.label(row.line), row.a, row.b, _seeds(row))),
        Entry(row.differences, _signed),
        Entry(row.over_seeds, formats.difference),
        Entry((row.accuracy.low, row.accuracy.high), _ends),
        Entry(row.auroc, formats.difference),
        word(_verdict_over_seeds(row)),
    )


def _seeds(row: OverSeeds) -> str:
    return ", ".join(seed.removeprefix("seed ") for seed in row.seeds)


def _signed(differences: Sequence[float]) -> str:
    return ", ".join(formats.signed(difference, 3) for difference in differences)


def _ends(ends: tuple[float, float]) -> str:
    return formats.signed_interval(*ends, missing=formats.NO_INTERVAL)


def _verdict_over_seeds(row: OverSeeds) -> str:
    return verdict(row, f", over {len(row.seeds)} seeds")


def _summary(pairs: Sequence[Pair]) -> str:
    """In a sentence, how many images flip between backends, between seeds and between machines."""
    parts = []
    for kind in _SCOPES:
        if of_kind := [pair for pair in pairs if pair.across == kind]:
            flipped = formats.count_range([len(pair.agreement.flipped) for pair in of_kind])
            parts.append(f"{flipped} of {formats.count_range([pair.images for pair in of_kind])} between {kind}")
    return f"Flipped images: {', '.join(parts)}."


def _flips(pairs: Sequence[Pair]) -> str:
    """The images that two backends, or two machines, name differently, a line a pair."""
    lines = []
    for pair in pairs:
        names = pair.agreement.flipped
        if pair.across != "seeds" and names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            listed = ", ".join(map(literal, names[:MOST_NAMES]))
            lines.append(f"- {pair.a} and {pair.b}, {pair.same}: {listed}{more}")
    return "\n".join(lines)


def literal(name: str) -> str:
    """A file's name for Markdown text outside tables: nothing in it is taken for markup."""
    return escape(re.sub(r"([\\`*_~])", r"\\\1", name))


_TIDY_COLUMNS = (
    *map(words, ("model", "start", "split", "across", "a", "b", "same")),
    *map(
        figures,
        (
            "images",
            "groups",
            "images of no known patient",
            "agreement",
            "kappa",
            "flipped",
            "right in a alone",
            "right in b alone",
        ),
    ),
    *map(figures, ("p by image", "p by patient", "p by patient (Holm)", "largest score difference")),
    *(figures(f"{name} b - a, {end}") for name in ("accuracy", "AUROC") for end in ("value", "low", "high")),
    *(figures(f"accuracy b - a, {end} over seeds alone") for end in ("low", "high")),
    *(words("verdict"), words("smoke test"), words("few of a class")),
)


def _tidy_table(group: Group, pairs: Sequence[Pair], over_seeds: Sequence[OverSeeds]) -> Table:
    """Every pair of the group, then every two backends over seeds, with each number in a column of its own.

    It is empty if it is not defined. Intervals over seeds are over patients, too, unless they say otherwise.
    """
    rows: list[tuple[Entry, ...]] = []
    for line in group.lines:
        of_line = [pair for pair in pairs if pair.line == line]
        rows += [_tidy_row(group, pair, p) for pair, p in zip(of_line, _corrected(of_line), strict=True)]
    rows += [_tidy_over_seeds(group, row) for row in over_seeds]
    return Table("Agreement", _TIDY_COLUMNS, tuple(rows))


def _tidy_row(group: Group, pair: Pair, corrected: float) -> tuple[Entry, ...]:
    agreed = pair.agreement
    split = quality.split_of(group)
    return (
        *map(word, (pair.line.title, pair.line.start, split, pair.across, pair.a, pair.b, pair.same)),
        *map(count, (pair.images, pair.groups, pair.ungrouped)),
        number(agreed.share, 3),
        number(agreed.kappa, 3),
        *map(count, (len(agreed.flipped), agreed.only_a, agreed.only_b)),
        *(significant(value, 6) for value in (agreed.p, agreed.p_by_patient, corrected, agreed.largest)),
        *_parts(agreed.accuracy),
        *_parts(agreed.auroc),
        *(absent(), absent()),
        word(verdict(agreed, _SCOPES[pair.across])),
        word(quality.is_smoke_test(group)),
        word(quality.few_of_a_class(group)),
    )


def _tidy_over_seeds(group: Group, row: OverSeeds) -> tuple[Entry, ...]:
    split = quality.split_of(group)
    names = (row.line.title, row.line.start, split, "backends, over seeds", row.a, row.b, f"seeds {_seeds(row)}")
    return (
        *map(word, names),
        *map(count, (row.images, row.groups, row.ungrouped)),
        *[absent()] * 9,  # what only a pair has
        *_parts(row.accuracy),
        *_parts(row.auroc),
        *_parts(row.over_seeds)[1:],
        word(_verdict_over_seeds(row)),
        word(quality.is_smoke_test(group)),
        word(quality.few_of_a_class(group)),
    )


def _parts(difference: Estimated) -> list[Entry]:
    return [significant(value, 6) for value in (difference.value, difference.low, difference.high)]
