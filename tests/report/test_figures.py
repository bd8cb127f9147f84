"""Figures are the same bytes whoever draws them, and each is laid out and drawn once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool

import pytest
from matplotlib.figure import Figure

from bcdl.machine import hardware
from bcdl.records.groups import Group, group_records
from bcdl.report import figures, plots
from bcdl.report.plots import style
from tests.factory import record


def groups() -> list[Group]:
    return group_records([("a-machine", record(image_size=size)) for size in (32, 48, 64, 96)])


def test_other_processes_draw_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "threads_worth_starting", lambda: 2)
    here = [figures.of_group(group) for group in groups()]
    monkeypatch.setattr(style, "to_png", None)  # in this process alone
    assert list(figures.of_groups(groups())) == here
    assert all(here)


def test_what_other_processes_can_not_draw_is_drawn_here_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaking(groups: Sequence[Group], processes: int) -> Iterator[dict[str, bytes]]:
        yield {"first": b""}
        raise BrokenProcessPool("a process was ended")

    monkeypatch.setattr(hardware, "threads_worth_starting", lambda: 2)
    monkeypatch.setattr(figures, "_drawn_beside", breaking)
    monkeypatch.setattr(figures, "of_group", lambda group: {group.slug: b"here"})
    made = groups()
    drawn = list(figures.of_groups(made))
    assert drawn == [{"first": b""}, *({group.slug: b"here"} for group in made[1:])]
    assert "so that this one does (a process was ended)" in capsys.readouterr().err


@pytest.mark.parametrize(("cores", "count"), [(1, 4), (2, 3)])
def test_few_groups_or_one_core_start_no_process(cores: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "threads_worth_starting", lambda: cores)
    monkeypatch.setattr(figures, "_drawn_beside", None)
    monkeypatch.setattr(figures, "of_group", lambda group: {})
    assert list(figures.of_groups(groups()[:count])) == [{}] * count


def test_a_figure_is_laid_out_and_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (drawn.append(self), draw(self, renderer))[1])
    _, figure = next(iter(plots.modules()["throughput"].draw(groups()[0])))
    laid_out: list[Figure] = []
    engine = figure.get_layout_engine()
    execute = engine.execute
    monkeypatch.setattr(engine, "execute", lambda of: (laid_out.append(of), execute(of))[1])
    assert style.to_png(figure).startswith(b"\x89PNG")
    assert (len(laid_out), len(drawn)) == (1, 1)
