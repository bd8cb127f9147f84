"""Shows a run to the person who watches it: the cell, its phase, how many cells are left and for about how long.

The same is kept in a file, which `bcdl status` reads at another terminal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from bcdl.errors import UsageError
from bcdl.machine import terminal
from bcdl.records import disk
from bcdl.records.record import OK, Record
from bcdl.runner.estimates import Estimates
from bcdl.settings.cell import Cell
from bcdl.text import legible

_PIPED_WIDTH = 160


def console() -> Console:
    """The console for people: as wide as their terminal, and wide enough for a table if the output is piped.

    What it shows moves, and has colours, only if somebody watches.
    """
    if terminal.is_watched(sys.stdout):
        return Console()
    return Console(force_terminal=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


class RunProgress:
    """Reports one cell after the other: a live line on a terminal, one plain line a phase elsewhere.

    Args:
        console: the console to print to.
        cells: the cells that are to run, in order.
        file: the file that holds the same as JSON, replaced at each phase; None for none.
        estimates: of how long cells take; it learns from those that end.
        titles: the title of each cell, if their own do not tell them apart.
    """

    def __init__(
        self,
        console: Console,
        cells: Sequence[Cell],
        file: Path | None,
        estimates: Estimates | None = None,
        titles: Mapping[Cell, str] | None = None,
    ) -> None:
        self._console, self._file = console, file
        self.estimates = estimates or Estimates()
        self._titles = titles or {}
        self._outcomes: list[str] = []
        self.plan(cells)

    def plan(self, cells: Sequence[Cell]) -> None:
        """From now on these are the cells that are to run, in order."""
        self._left = list(cells)
        self._total = len(self._outcomes) + len(cells)

    def title(self, cell: Cell) -> str:
        """The cell in words that tell it from the others."""
        return self._titles.get(cell, cell.title)

    def cell(self, cell: Cell) -> CellProgress:
        """Begin the next cell; a context manager."""
        return CellProgress(self, cell)

    @property
    def failed(self) -> int:
        """How many cells have ended and are not ok."""
        return sum(status != "ok" for status in self._outcomes)

    @property
    def about_left_s(self) -> float | None:
        """Estimated seconds of the cells not begun yet; None if there is no estimate."""
        seconds = [self.estimates.seconds(cell) for cell in self._left]
        return None if None in seconds else sum(each for each in seconds if each is not None)

    def begin(self, cell: Cell) -> str:
        """Begin a cell; its number and title."""
        self._left.remove(cell)
        number = self._total - len(self._left)
        return f"[{number}/{self._total}] {self.title(cell)}"

    def put_back(self, cell: Cell) -> None:
        """Count a cell that was begun as the next one to run."""
        self._left.insert(0, cell)

    def end(self, cell: Cell, status: str, seconds: float) -> str:
        """Count a cell that has ended after so many seconds; how many are done and left, in words."""
        self._outcomes.append(status)
        if status == OK:
            self.estimates.learn(cell, seconds)
        parts = [f"{len(self._outcomes)} done"]
        parts += [f"{self.failed} of them not ok"] if self.failed else []
        about = self.about_left_s
        left = f"{len(self._left)} left" + (f", about {duration(about)}" if self._left and about is not None else "")
        return "; ".join([*parts, left])

    def keep(self, cell: Cell, phase: str, cell_started: float) -> None:
        """Write the state of the run into its file; `cell_started` is in seconds since 1970."""
        if self._file is None:
            return
        state = State(
            pid=os.getpid(),
            cell=cell.id,
            phase=phase,
            cell_started=cell_started,
            phase_started=time.time(),
            done=len(self._outcomes),
            failed=self.failed,
            left=len(self._left),
            about_left_s=self.about_left_s,
            title=self.title(cell),
        )
        with contextlib.suppress(OSError):  # to be watched matters less than to go on
            disk.replace(self._file, json.dumps(dataclasses.asdict(state)).encode())

    def print(self, text: str) -> None:
        self._console.print(legible(text), markup=False, highlight=False, soft_wrap=True)

    def live(self, text: str) -> Status | None:
        """A live line; None if there is no terminal for it."""
        return self._console.status(text) if self._console.is_terminal else None


@dataclasses.dataclass(frozen=True)
class State:
    """The state of a run, as its file holds it.

    Attributes:
        pid: process id of the driver.
        cell: id of the cell that runs.
        phase: the phase that the cell is in.
        cell_started, phase_started: when they began, seconds since 1970.
        done: cells that have ended.
        failed: cells among these that are not ok.
        left: cells not begun yet.
        about_left_s: estimated seconds of those left; None if there is no estimate.
        title: the cell in words.
    """

    pid: int
    cell: str
    phase: str
    cell_started: float
    phase_started: float
    done: int
    failed: int
    left: int
    about_left_s: float | None
    title: str

    @classmethod
    def read(cls, file: Path) -> State | None:
        """The state in the file; None if there is no file or it holds no state."""
        try:
            state = cls(**json.loads(file.read_text(encoding="utf-8")))
            Cell.parse(state.cell)
            numbers = (state.cell_started, state.phase_started, state.done, state.failed, state.left)
            left_s = 0 if state.about_left_s is None else state.about_left_s
            texts = (state.phase, state.title)
            fits = all(map(_is_finite, (*numbers, left_s))) and all(isinstance(text, str) for text in texts)
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, UsageError):
            return None
        return state if fits else None


def _is_finite(value: object) -> bool:
    """Whether it is a number, not true or false, that is finite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


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

    def finish(self, record: Record, log: Path | None = None) -> None:
        """Print how the cell ended and, if it is not ok, which file has what its worker printed; how many are left."""
        self._stop()
        self._line(record.status + (f": {record.reason}" if record.reason else ""))
        if not record.ok and log and log.is_file() and log.stat().st_size:
            self._run.print(f"what its worker printed: {log}")
        tally = self._run.end(self._cell, record.status, time.monotonic() - self._start)
        self._run.print(tally)
        self._run.keep(self._cell, "ended", self._began)

    def cut(self) -> None:
        """Print that the cell was ended, since the time for all cells is over; it counts as none."""
        self._stop()
        self._line("ended unfinished, without a record: the time for cells is over")

    def again(self, reason: str) -> None:
        """Print that the cell runs once more, alone in a new process; it counts as not begun."""
        self._stop()
        self._line(f"{reason}; it runs again, alone in a new one")
        self._run.put_back(self._cell)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
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


def duration(seconds: float) -> str:
    """Seconds in words, no more precise than an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
