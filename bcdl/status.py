"""Show what is running on a results folder, from another terminal."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from bcdl.errors import UsageError, program, run_command
from bcdl.records import runs
from bcdl.report.tables import Entry, Table, absent, count, figures, word, words
from bcdl.runner import progress
from bcdl.runner.progress import State, duration
from bcdl.runner.run import STATUS_FILE
from bcdl.screen import say
from bcdl.settings.cell import Cell
from bcdl.settings.options import DEFAULT_RESULTS

_COLUMNS = (
    *map(words, ("run", "cell", "phase")),
    *map(figures, ("cell's time", "done", "not ok", "left after it")),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog=program("status"), description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="results folder of the run")
    arguments = parser.parse_args()
    if not arguments.results.is_dir():
        raise UsageError(f"there is no results folder {str(arguments.results)!r}; name the run's own with --results")
    live = dict(_live(arguments.results))
    if live:
        progress.console().print(table(live).to_rich())
    else:
        say(f"nothing is running on {arguments.results}")
    return 0


def _live(results: Path) -> Iterator[tuple[str, State | None]]:
    """The id and the state of each run whose process lives; the state is None if the run's file does not give it."""
    for folder in sorted((results / runs.RUNS).glob("*/")):
        if runs.is_live(results, folder.name):
            yield folder.name, State.read(folder / STATUS_FILE)


def table(live: dict[str, State | None]) -> Table:
    """A table with a row for each run, by its id; a state is None if it is not known."""
    return Table("Running now", _COLUMNS, tuple((word(run), *_row(state)) for run, state in live.items()))


def _row(state: State | None) -> tuple[Entry, ...]:
    if state is None:  # it has not begun its first cell, or its file is not what a run writes
        return (absent("unknown"), *[absent()] * 5)
    cell, now = Cell.parse(state.cell), time.time()
    about = "unknown" if state.about_left_s is None else f"about {duration(state.about_left_s)}"
    return (
        word(cell.title),
        word(f"{state.phase}, for {duration(now - state.phase_started)}"),
        Entry(now - state.cell_started, duration),
        count(state.done),
        count(state.failed),
        word(f"{state.left}, {about}" if state.left else "0"),
    )


if __name__ == "__main__":
    run_command(main)
