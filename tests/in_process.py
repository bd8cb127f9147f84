"""Commands in this process, as a person would have them: exit code, stdout and stderr."""

from __future__ import annotations

import contextlib
import importlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bcdl.__main__ import COMMANDS
from bcdl.errors import run_command
from bcdl.report import artefacts
from bcdl.report.plots import style

Said = tuple[int, str, str]

# Options of a training of seconds, but for its model.
SMALL_TRAINING = ("--profile", "smoke", "--data", "synthetic-48", "--image-size", "32", "--device", "cpu")


class InProcess:
    """Runs a command's `main`."""

    def __init__(self, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self._patch, self._captured = patch, captured

    def __call__(self, main: Callable[[], int], *arguments: str | Path) -> Said:
        self._patch.setattr(sys, "argv", [f"bcdl {main.__module__.rpartition('.')[2]}", *map(str, arguments)])
        self._captured.readouterr()
        with pytest.raises(SystemExit) as left:
            run_command(main)
        said = self._captured.readouterr()
        return int(str(left.value.code)), said.out, said.err


def completed(command: str, *arguments: object, drawn: bool = False) -> subprocess.CompletedProcess[str]:
    """What `bcdl COMMAND ARGUMENT...` gives, run in this process, which has imported everything already.

    The pictures of a report are blank unless `drawn`: to draw them takes most of its time, and few tests look at them.
    """
    main = importlib.import_module(COMMANDS[command].module).main
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", [f"bcdl {command}", *map(str, arguments)]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(contextlib.nullcontext() if drawn else blank_pictures())
        left = stack.enter_context(pytest.raises(SystemExit))
        run_command(main)
    said = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess([command], int(str(left.value.code)), *said)


@contextlib.contextmanager
def blank_pictures() -> Iterator[None]:
    """In the block a figure that is saved becomes one white pixel, which names the same source and command."""
    with mock.patch.object(style, "to_png", _blank):
        yield


def _blank(figure: Figure, source: str = "", drawn_by: str = "") -> bytes:
    plt.close(figure)
    named = PngInfo()
    for key, text in ((artefacts.SOURCE, source), (artefacts.DRAWN_BY, drawn_by)):
        if text:
            named.add_text(key, text)
    png = io.BytesIO()
    Image.new("L", (1, 1), 255).save(png, "PNG", pnginfo=named)
    return png.getvalue()
