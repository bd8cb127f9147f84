"""What a person watching sees; piped output stays plain."""

from __future__ import annotations

import io

from rich.console import Console

from bcdl.progress import CellProgress
from tests.factory import cell


def shown(console: Console, file: io.StringIO) -> str:
    with CellProgress(console, cell(), 2, 7) as progress:
        progress.phase("epoch 1/3")
        progress.finish("ok")
    return file.getvalue()


def test_piped_output_is_one_plain_line_a_phase() -> None:
    file = io.StringIO()
    lines = shown(Console(file=file, width=80), file).splitlines()
    assert [line.rsplit(" (", 1)[0] for line in lines] == [
        "[2/7] cnn on torch, seed 0: epoch 1/3",
        "[2/7] cnn on torch, seed 0: ok",
    ]


def test_a_terminal_sees_a_live_line_that_leaves_one_behind() -> None:
    file = io.StringIO()
    text = shown(Console(file=file, width=80, force_terminal=True), file)
    assert "\x1b[" in text
    assert "[2/7] cnn on torch, seed 0: ok" in text.splitlines()[-1]
