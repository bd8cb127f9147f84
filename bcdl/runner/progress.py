"""What a person watching a run sees: which cell, how far, how many are left and for how long.

The same is kept in a file, for `python -m bcdl.status` at another terminal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from bcdl.errors import UsageError
from bcdl.records import comparability, store
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.text import legible

_PIPED_WIDTH = 140


def console() -> Console:
    """Where people read: as wide as their terminal, and wide enough for a table if the output is piped."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)


# What cells that take about as long have in common.
Work = tuple[tuple[str, Hashable], ...]


class RunProgress:
    """Reports one cell after the other: a live line on a terminal, one plain line a phase elsewhere.

    Args:
        console: where to.
        cells: those that are to run, in order.
        file: that holds the same as JSON, replaced at each phase; None for none.
        earlier: seconds that cells took in earlier runs, by `work_of`.
    """

    def __init__(
        self, console: Console, cells: Sequence[Cell], file: Path | None, earlier: Mapping[Work, float] | None = None
    ) -> None:
        self._console, self._file = console, file
        self._left = list(cells)
        self._total = len(cells)
        self._seconds: dict[Work, list[float]] = {work: [seconds] for work, seconds in (earlier or {}).items()}
        self._outcomes: list[str] = []

    def cell(self, cell: Cell) -> CellProgress:
        """Begin the next cell; a context manager."""
        return CellProgress(self, cell)

    @property
    def failed(self) -> int:
        return sum(status != "ok" for status in self._outcomes)

    @property
    def about_left_s(self) -> float | None:
        """An estimate for the cells not begun yet, from those that ended; None if nothing is known of one."""
        guesses = [self._guess(cell) for cell in self._left]
        return None if None in guesses else sum(guess for guess in guesses if guess is not None)

    def _guess(self, cell: Cell) -> float | None:
        return statistics.median(known) if (known := self._seconds.get(work_of(cell))) else self._typical()

    def _typical(self) -> float | None:
        known = [seconds for each in self._seconds.values() for seconds in each]
        return statistics.median(known) if known and self._outcomes else None

    def begin(self, cell: Cell) -> str:
        """What names the cell: its number, model, backend and seed."""
        self._left.remove(cell)
        number = self._total - len(self._left)
        return f"[{number}/{self._total}] {cell.title}"

    def end(self, cell: Cell, status: str, seconds: float) -> str:
        """Count the cell; what is done and left, in words."""
        self._outcomes.append(status)
        self._seconds.setdefault(work_of(cell), []).append(seconds)
        parts = [f"{len(self._outcomes)} done"]
        parts += [f"{self.failed} of them not ok"] if self.failed else []
        about = self.about_left_s
        left = f"{len(self._left)} left" + (f", about {duration(about)}" if self._left and about is not None else "")
        return "; ".join([*parts, left])

    def keep(self, cell: Cell, phase: str, cell_started: float) -> None:
        """Put where the run is into its file."""
        if self._file is None:
            return
        values = State(
            pid=os.getpid(),
            cell=cell.id,
            phase=phase,
            cell_started=cell_started,
            phase_started=time.time(),
            done=len(self._outcomes),
            failed=self.failed,
            left=len(self._left),
            about_left_s=self.about_left_s,
        )
        with contextlib.suppress(OSError):  # to be watched matters less than to go on
            store.replace(self._file, json.dumps(dataclasses.asdict(values)).encode())

    def print(self, text: str) -> None:
        self._console.print(legible(text), markup=False, highlight=False, soft_wrap=True)

    def live(self, text: str) -> Status | None:
        """A live line, if there is a terminal for it."""
        return self._console.status(text) if self._console.is_terminal else None


@dataclasses.dataclass(frozen=True)
class State:
    """Where a run is: its cell, its phase, when they began (s since 1970), cells done, failed among them, and left."""

    pid: int
    cell: str
    phase: str
    cell_started: float
    phase_started: float
    done: int
    failed: int
    left: int
    about_left_s: float | None

    @classmethod
    def read(cls, file: Path) -> State | None:
        """What the file says; None if there is none or it says something else."""
        try:
            state = cls(**json.loads(file.read_text(encoding="utf-8")))
            Cell.parse(state.cell)
            numbers = (state.cell_started, state.phase_started, state.done, state.failed, state.left)
            fits = math.isfinite(sum(numbers) + (state.about_left_s or 0)) and isinstance(state.phase, str)
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, UsageError):
            return None
        return state if fits else None


class CellProgress:
    """One cell while it runs."""

    def __init__(self, run: RunProgress, cell: Cell) -> None:
        self._run, self._cell = run, cell
        self._title = run.begin(cell)
        self._start, self._began = time.monotonic(), time.time()
        self._status: Status | None = None

    def __enter__(self) -> CellProgress:
        self._status = self._run.live(self._escaped("starting"))
        if self._status:
            self._status.start()
        self._run.keep(self._cell, "starting", self._began)
        return self

    def phase(self, name: str) -> None:
        if self._status:
            self._status.update(self._escaped(name))
        else:
            self._line(name)
        self._run.keep(self._cell, name, self._began)

    def finish(self, record: Record) -> None:
        """Leave a line that says how the cell ended, and what is left."""
        self._stop()
        self._line(record.status + (f": {record.reason}" if record.reason else ""))
        tally = self._run.end(self._cell, record.status, time.monotonic() - self._start)
        self._run.print(tally)
        self._run.keep(self._cell, "ended", self._began)

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
        self._run.print(f"{self._title}: {text} ({seconds:.0f} s)")

    def _escaped(self, text: str) -> str:
        return escape(legible(f"{self._title}: {text}"))


def work_of(cell: Cell) -> Work:
    """What the cell has in common with those that take about as long on the same machine."""
    return comparability.key(Evidence.of_cell(cell), Purpose.DURATION)


def duration(seconds: float) -> str:
    """Seconds in words, as coarse as an estimate deserves."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
