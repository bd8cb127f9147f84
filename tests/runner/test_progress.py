"""What a person watching sees, here and at another terminal; piped output stays plain."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from bcdl.runner.estimates import Estimates, Took
from bcdl.runner.progress import RunProgress, State, duration
from bcdl.settings.words import titles
from tests.factory import cell, record

CELLS = [cell(seed=seed) for seed in range(3)] + [cell(model="mobilenet")]


def shown(file: Path | None = None, **options: object) -> tuple[RunProgress, str]:
    """Two of four cells: the first ends well, the second does not."""
    text = io.StringIO()
    progress = RunProgress(Console(file=text, width=80, **options), CELLS, file)  # type: ignore[arg-type]
    for running, status in zip(CELLS, ("ok", "crashed"), strict=False):
        with progress.cell(running) as cell_progress:
            cell_progress.phase("epoch 1/3")
            cell_progress.finish(record(status=status, seed=running.seed))
    return progress, text.getvalue()


def test_piped_output_is_one_plain_line_a_phase_and_what_is_left() -> None:
    _, text = shown()
    assert [re.split(r" \(|, about", line)[0] for line in text.splitlines()] == [
        "[1/4] cnn on torch, seed 0: epoch 1/3",
        "[1/4] cnn on torch, seed 0: ok",
        "1 done; 3 left",
        "[2/4] cnn on torch, seed 1: epoch 1/3",
        "[2/4] cnn on torch, seed 1: crashed: it was made to fail",
        "2 done; 1 of them not ok; 2 left",
    ]


def test_cells_that_their_own_titles_do_not_tell_apart_are_shown_by_those_given(tmp_path: Path) -> None:
    text, of_study = io.StringIO(), [cell(image_size=size) for size in (32, 64)]
    progress = RunProgress(Console(file=text), of_study, tmp_path / "status.json", titles=titles(of_study))
    with progress.cell(of_study[1]) as shown_cell:
        shown_cell.phase("epoch 1/3")
    assert text.getvalue().startswith("[1/2] cnn on torch, seed 0, image size 64: epoch 1/3")
    state = State.read(tmp_path / "status.json")
    assert state is not None
    assert state.title == "cnn on torch, seed 0, image size 64"


def test_a_terminal_sees_a_live_line_that_leaves_one_behind() -> None:
    _, text = shown(force_terminal=True)
    assert "\x1b[" in text
    assert "[1/4] cnn on torch, seed 0: ok" in text


def test_the_state_of_a_run_can_be_read_elsewhere(tmp_path: Path) -> None:
    shown(tmp_path / "status.json")
    state = State.read(tmp_path / "status.json")
    assert state is not None
    assert (state.done, state.failed, state.left) == (2, 1, 2)
    assert state.cell == CELLS[1].id
    assert time.time() - 60 < state.cell_started <= state.phase_started <= time.time()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_file_that_is_no_state_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    assert State.read(tmp_path / "status.json") is None


def test_what_is_left_is_estimated_anew_when_a_cell_has_ended_well() -> None:
    of_another_kind = [*CELLS[:3], cell(model="of-another-version")]
    unknown = RunProgress(Console(file=io.StringIO()), of_another_kind, None, Estimates([Took(CELLS[0], 1, 10.0)]))
    assert unknown.about_left_s is None
    progress = RunProgress(Console(file=io.StringIO()), CELLS[:3], None, Estimates([Took(CELLS[0], 1, 10.0)]))
    assert progress.about_left_s == 30
    progress.begin(CELLS[0])
    progress.end(CELLS[0], "ok", 20.0)
    assert progress.about_left_s == 2 * 20
    progress.begin(CELLS[1])
    progress.end(CELLS[1], "crashed", 1.0)
    assert progress.about_left_s == 20


def test_a_new_plan_replaces_the_cells_that_are_left() -> None:
    progress = RunProgress(Console(file=io.StringIO()), CELLS, None)
    progress.begin(CELLS[0])
    assert progress.end(CELLS[0], "ok", 1.0).startswith("1 done; 3 left")
    progress.plan([CELLS[3]])
    assert progress.begin(CELLS[3]).startswith("[2/2] mobilenet")


@pytest.mark.parametrize(("seconds", "words"), [(3, "3 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_are_as_coarse_as_estimates(seconds: float, words: str) -> None:
    assert duration(seconds) == words
