"""What a person watching a run sees: which cell, how far, and what is left; piped output stays plain."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.status import Status

from bcdl.cell import Cell

_PIPED_WIDTH = 140


def console() -> Console:
    """Where people read: as wide as their terminal, and wide enough for a table where the output is piped."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)


class CellProgress:
    """Shows one cell while it runs: a live line on a terminal, one plain line a phase elsewhere."""

    def __init__(self, console: Console, cell: Cell, number: int, total: int) -> None:
        self._console = console
        self._title = f"[{number}/{total}] {cell.model} on {cell.backend}, seed {cell.seed}"
        self._start = time.monotonic()
        self._status: Status | None = None

    def __enter__(self) -> CellProgress:
        if self._console.is_terminal:
            self._status = self._console.status(self._escaped("starting"))
            self._status.start()
        return self

    def phase(self, name: str) -> None:
        if self._status:
            self._status.update(self._escaped(name))
        else:
            self._line(name)

    def finish(self, outcome: str) -> None:
        """Leave a line that says how the cell ended."""
        self._stop()
        self._line(outcome)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None

    def _line(self, text: str) -> None:
        seconds = time.monotonic() - self._start
        self._console.print(f"{self._title}: {text} ({seconds:.0f} s)", markup=False, highlight=False, soft_wrap=True)

    def _escaped(self, text: str) -> str:
        return f"{self._title}: {text}".replace("[", r"\[")
