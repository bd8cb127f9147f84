"""The part of a group's section that says whether the backend changes the diagnosis."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bcdl.evaluation import agreement, smoke
from bcdl.evaluation.agreement import MARGIN, Agreement, Pair, Refused, Verdict
from bcdl.records.groups import Group, Line
from bcdl.report import formats
from bcdl.report.sections import quality
from bcdl.report.tables import Entry, Table, count, figures, number, significant, word, words
from bcdl.statistics import bootstrap, effects
from bcdl.statistics.estimated import Estimated
from bcdl.text import escape

# Names listed for one pair on the page; the rest are counted.
MOST_NAMES = 20
_KINDS = ("backends", "seeds")
_WITHIN = formats.plain(MARGIN)

_TEXT = f"""\
Each backend's model started from the same weights and saw the same batches; rows of two seeds on one backend show what
another start and order alone does. Differences are b less a on the same images, in brackets the
{formats.percent(bootstrap.CONFIDENCE)} interval, by resampling patients.

- **p** is McNemar's, exact: that neither names more images right. It is corrected by Holm's method over the pairs of
  backends of a model, and over those of seeds. A large p shows nothing.
- **Verdict**: *no difference larger than {_WITHIN}* where the whole interval of accuracy lies within that margin,
  which was fixed beforehand. *Not shown* does not say that there is a difference: few images show little.
"""

_COLUMNS = (
    *(words("a"), words("b"), words("same")),
    *map(figures, ("agreement", "kappa", "flipped", "right in a, b alone", "p", "p (Holm)")),
    *map(figures, ("largest score difference", "accuracy, b - a", "AUROC, b - a")),
    words("verdict"),
)


def section(group: Group) -> tuple[str, tuple[Table, ...]]:
    """The group's part of the page, in Markdown, and the same figures as a table for programs.

    Both are empty if no two models could have been compared.
    """
    pairs, refused = agreement.pairs(group)
    paragraphs = [_TEXT.strip()] if pairs else []
    for line in group.lines:
        of_line = [pair for pair in pairs if pair.line == line]
        if of_line:
            paragraphs += [_line_table(group, line, of_line).to_markdown(), _summary(of_line)]
            paragraphs += [text for text in (_flips(of_line),) if text]
    if refused:
        paragraphs.append(_not_compared(group, refused))
    if not paragraphs:
        return "", ()
    text = quality.part(group, "Does the backend change the diagnosis?", paragraphs)
    return text, (_tidy_table(group, pairs),) if pairs else ()


def _not_compared(group: Group, refused: Sequence[Refused]) -> str:
    lines = [f"{group.label(row.line)}, {row.a} and {row.b}, {row.same}: {row.reason}" for row in refused]
    return f"Not compared: {escape('; '.join(lines))}."


def _line_table(group: Group, line: Line, pairs: Sequence[Pair]) -> Table:
    images = ", ".join(dict.fromkeys(f"{pair.images} images of {pair.groups} groups" for pair in pairs))
    of_smoke_test = "smoke test: " if smoke.note(group.records) else ""
    title = f"{group.mark}{line.title}, start: {line.start}; {of_smoke_test}{images}"
    rows = (_row(pair, p) for pair, p in zip(pairs, _corrected(pairs), strict=True))
    return Table(title, _COLUMNS, tuple(rows))


def _corrected(pairs: Sequence[Pair]) -> list[float]:
    """Each pair's p by Holm's method, over the pairs of its kind."""
    of_kind = {kind: iter(effects.holm([pair.agreement.p for pair in pairs if pair.across == kind])) for kind in _KINDS}
    return [next(of_kind[pair.across]) for pair in pairs]


def _row(pair: Pair, corrected: float) -> tuple[Entry, ...]:
    agreed = pair.agreement
    return (
        *map(word, (pair.a, pair.b, pair.same)),
        number(agreed.share, 3),
        number(agreed.kappa, 3, missing=formats.NOT_DEFINED),
        count(len(agreed.flipped)),
        Entry((agreed.only_a, agreed.only_b), formats.counts),
        Entry(agreed.p, formats.p_value),
        Entry(corrected, formats.p_value),
        significant(agreed.largest, 2),
        Entry(agreed.accuracy, formats.difference),
        Entry(agreed.auroc, formats.difference),
        word(verdict(agreed)),
    )


def verdict(agreed: Agreement) -> str:
    """The verdict on two models in words."""
    if agreed.verdict is Verdict.EQUIVALENT:
        empty = " (empty: all images are named one class)" if agreed.one_class else ""
        return f"no difference larger than {_WITHIN}{empty}"
    if agreed.verdict is Verdict.DIFFERENT:
        return f"a difference larger than {_WITHIN}"
    return "not shown"


def _summary(pairs: Sequence[Pair]) -> str:
    """In a sentence, how many images flip between backends and how many between seeds."""
    flipped = {kind: [len(pair.agreement.flipped) for pair in pairs if pair.across == kind] for kind in _KINDS}
    parts = [f"{formats.count_range(counts)} between {kind}" for kind, counts in flipped.items() if counts]
    return f"Flipped images of {pairs[0].images}: {', '.join(parts)}."


def _flips(pairs: Sequence[Pair]) -> str:
    """The images that two backends name differently, a line a pair."""
    lines = []
    for pair in pairs:
        names = pair.agreement.flipped
        if pair.across == "backends" and names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            listed = ", ".join(map(literal, names[:MOST_NAMES]))
            lines.append(f"- {pair.a} and {pair.b}, {pair.same}: {listed}{more}")
    return "\n".join(lines)


def literal(name: str) -> str:
    """A file's name for Markdown text outside tables: nothing in it is taken for markup or an address."""
    return escape(re.sub(r"([\\`*_~:@])", r"\\\1", name))


_TIDY_COLUMNS = (
    *map(words, ("model", "start", "split", "across", "a", "b", "same")),
    *map(figures, ("images", "groups", "agreement", "kappa", "flipped", "right in a alone", "right in b alone")),
    *map(figures, ("p", "p (Holm)", "largest score difference")),
    *(figures(f"{name} b - a, {end}") for name in ("accuracy", "AUROC") for end in ("value", "low", "high")),
    *(words("verdict"), words("smoke test")),
)


def _tidy_table(group: Group, pairs: Sequence[Pair]) -> Table:
    """Every pair of the group with each number in a column of its own; empty if it is not defined."""
    rows: list[tuple[Entry, ...]] = []
    for line in group.lines:
        of_line = [pair for pair in pairs if pair.line == line]
        rows += [_tidy_row(group, pair, p) for pair, p in zip(of_line, _corrected(of_line), strict=True)]
    return Table("Agreement", _TIDY_COLUMNS, tuple(rows))


def _tidy_row(group: Group, pair: Pair, corrected: float) -> tuple[Entry, ...]:
    agreed = pair.agreement
    split = quality.split_of(group)
    return (
        *map(word, (pair.line.title, pair.line.start, split, pair.across, pair.a, pair.b, pair.same)),
        *map(count, (pair.images, pair.groups)),
        number(agreed.share, 3),
        number(agreed.kappa, 3),
        *map(count, (len(agreed.flipped), agreed.only_a, agreed.only_b)),
        *(significant(value, 6) for value in (agreed.p, corrected, agreed.largest)),
        *_parts(agreed.accuracy),
        *_parts(agreed.auroc),
        word(verdict(agreed)),
        word(quality.is_smoke_test(group)),
    )


def _parts(difference: Estimated) -> list[Entry]:
    return [significant(value, 6) for value in (difference.value, difference.low, difference.high)]
