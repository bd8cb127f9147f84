"""Each figure is laid out and drawn once."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from bcdl.records.groups import group_records
from bcdl.report import plots
from bcdl.report.plots import style
from tests.factory import record


def test_a_figure_is_laid_out_and_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (drawn.append(self), draw(self, renderer))[1])
    (group,) = group_records([("a-machine", record())])
    _, figure = next(iter(plots.modules()["throughput"].draw(group)))
    laid_out: list[Figure] = []
    engine = figure.get_layout_engine()
    execute = engine.execute
    monkeypatch.setattr(engine, "execute", lambda of: (laid_out.append(of), execute(of))[1])
    assert style.to_png(figure).startswith(b"\x89PNG")
    assert (len(laid_out), len(drawn)) == (1, 1)
