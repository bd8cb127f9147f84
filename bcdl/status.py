"""python -m bcdl.status: what is running on a results folder, seen from another terminal. Never imports Keras."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from bcdl import progress, store
from bcdl.cell import Cell
from bcdl.errors import UsageError, run_command
from bcdl.options import DEFAULT_RESULTS
from bcdl.progress import State, duration
from bcdl.run import STATUS_FILE
from bcdl.tables import Table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bcdl.status", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="results folder of the run")
    arguments = parser.parse_args()
    if not arguments.results.is_dir():
        raise UsageError(f"there is no results folder {str(arguments.results)!r}; name the run's own with --results")
    found = dict(_live(arguments.results))
    if found:
        progress.console().print(table(found).to_rich())
    else:
        print(f"nothing is running on {arguments.results}")
    return 0


def _live(results: Path) -> Iterator[tuple[str, State]]:
    """The runs whose process lives, by id."""
    for folder in sorted((results / store.RUNS).glob("*/")):
        state = State.read(folder / STATUS_FILE)
        if state and store.is_live(results, folder.name):
            yield folder.name, state


def table(runs: dict[str, State]) -> Table:
    """One line a run."""
    rows = []
    for run, state in runs.items():
        cell, now = Cell.parse(state.cell), time.time()
        about = "unknown" if state.about_left_s is None else f"about {duration(state.about_left_s)}"
        rows.append(
            (
                run,
                cell.title,
                f"{state.phase}, for {duration(now - state.phase_started)}",
                duration(now - state.cell_started),
                str(state.done),
                str(state.failed),
                f"{state.left}, {about}" if state.left else "0",
            )
        )
    return Table("Running now", ("run", "cell", "phase", "cell's time", "done", "not ok", "left after it"), tuple(rows))


if __name__ == "__main__":
    run_command(main)
