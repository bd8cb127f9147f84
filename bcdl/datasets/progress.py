"""Progress of long work on a data set: a bar on stderr, if somebody watches."""

from __future__ import annotations

import sys
from typing import Self

from bcdl.machine import terminal

_LEAST = 200  # steps; fewer are done before a bar could be read


class Shown:
    """A bar for `total` steps of work, as long as this context is open; none if stderr is no terminal."""

    def __init__(self, description: str, total: int) -> None:
        self._bar = None
        if total >= _LEAST and terminal.is_watched(sys.stderr):
            from rich.console import Console  # here: a worker shows no bar
            from rich.progress import Progress

            self._bar = Progress(console=Console(file=sys.stderr))
            self._task = self._bar.add_task(description, total=total)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        if self._bar:
            self._bar.advance(self._task, steps)
