"""The table of two sides compared; commands show it on the screen, so that nothing here draws."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from bcdl.report import formats
from bcdl.report.doubt_lines import lines
from bcdl.report.sections.experiment_tables import interval
from bcdl.report.tables import Column, Entry, Table, figures, number, significant, word, words
from bcdl.statistics import doubts
from bcdl.statistics.comparison import Comparison

Names = tuple[str, str]  # of the two sides, as headings have them


@dataclasses.dataclass(frozen=True)
class Parity:
    """What is known of the parity of the two backends that are compared.

    Attributes:
        verdict: in words.
        mark: the sign that their ratio bears; empty if they compute the same.
    """

    verdict: str
    mark: str


def table(comparisons: Sequence[Comparison], names: Names = ("A", "B")) -> Table:
    """One line a cell and regime."""
    rows = tuple(_row(compared) for compared in comparisons)
    return Table(_title(names), _columns(names), rows, _doubts(comparisons, names))


def table_with_parity(comparisons: Sequence[tuple[Comparison, Parity]], names: Names = ("A", "B")) -> Table:
    """The same of two backends: the ratios have their parity's mark, and the verdict stands beside them."""
    rows = ((*_row(compared, parity.mark), word(parity.verdict)) for compared, parity in comparisons)
    notes = _doubts([compared for compared, _ in comparisons], names)
    return Table(_title(names), (*_columns(names), words("parity")), tuple(rows), notes)


def _title(names: Names) -> str:
    return f"Images/s of {' and '.join(names)}"


def _columns(names: Names) -> tuple[Column, ...]:
    a, b = names
    return (
        *map(words, ("cell", "regime")),
        *map(figures, (f"{a}, median", f"{b}, median", f"{b} / {a}", "95% interval", f"{b} / {a}, HL", "threshold")),
        *map(figures, ("p", "p, Holm", "Cliff's delta", "processes")),
        words("measured"),
    )


def _doubts(comparisons: Sequence[Comparison], names: Names) -> tuple[str, ...]:
    """A line for each kind of doubt about the rates compared, with how many processes of which side it is about."""
    doubted = {
        f"{compared.title}, {compared.regime}, {name}": of_side
        for compared in comparisons
        for name, of_side in zip(names, compared.doubts, strict=True)
    }
    return tuple(f"{doubts.MARK} {line}" for line in lines(doubted))


def _row(compared: Comparison, mark: str = "") -> tuple[Entry, ...]:
    effect = compared.effect
    return (
        *map(word, (compared.title, compared.regime)),
        *(number(median, 1) for median in effect.medians),
        number(effect.ratio, 3, mark=mark, flag=doubts.MARK if any(map(any, compared.doubts)) else ""),
        interval(effect),
        number(effect.hodges_lehmann, 3),
        Entry(compared.threshold, functools.partial(formats.percent, digits=1)),
        significant(effect.p, 2),
        significant(compared.p, 2),
        Entry(effect.delta, functools.partial(formats.signed, digits=2)),
        Entry(effect.processes, _both),
        word("in turn" if compared.interleaved else "apart"),
    )


def _both(processes: tuple[int, int]) -> str:
    return " and ".join(map(str, processes))
