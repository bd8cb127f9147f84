"""The table of two sides compared."""

from __future__ import annotations

import math

from bcdl.report.tables import Table, figures, word, words
from bcdl.statistics.comparison import Comparison

RATIO = "B / A"  # the column of ratios


def table(comparisons: list[Comparison]) -> Table:
    rows = [
        (
            one.title,
            one.regime,
            *(f"{median:.1f}" for median in one.effect.medians),
            f"{one.effect.ratio:.3f}",
            one.effect.interval,
            _p(one.effect.p),
            _p(one.p),
            f"{one.effect.delta:+.2f}",
            " and ".join(map(str, one.effect.processes)),
            "in turn" if one.interleaved else "apart",
        )
        for one in comparisons
    ]
    measured = ("A, median", "B, median", RATIO, "95% interval", "p", "p, Holm", "Cliff's delta", "processes")
    columns = (words("cell"), words("regime"), *map(figures, measured), words("measured"))
    return Table("Images/s of A and B", columns, tuple(tuple(map(word, row)) for row in rows))


def _p(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"
