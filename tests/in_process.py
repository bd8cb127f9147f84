"""Commands in this process, as a person would have them: exit code, stdout and stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bcdl.errors import run_command

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
