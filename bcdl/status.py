"""Show what is running on a results folder, from another terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from bcdl.errors import UsageError, run_command
from bcdl.records import disk, runs
from bcdl.records.claims import Holder
from bcdl.report.tables import Entry, Table, absent, count, figures, word, words
from bcdl.runner import progress
from bcdl.runner.cluster import follow, submission
from bcdl.runner.cluster.follow import Look
from bcdl.runner.progress import State, duration
from bcdl.runner.run import STATUS_FILE
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.options import DEFAULT_RESULTS

_COLUMNS = (
    *map(words, ("run", "host", "cell", "phase")),
    *map(figures, ("cell's time", "done", "not ok", "left after it")),
)

_CLUSTER_COLUMNS = (words("run"), *map(figures, ("cells", "done", "not ok", "running", "no record yet")))
_WAITING = "no record yet: the cell waits in the queue, or its task ended without one; bcdl submit --resume asks SLURM"


@dataclasses.dataclass(frozen=True)
class Running:
    """A run that is alive.

    Attributes:
        here: whether it runs on this host.
        state: what it does; None if its file does not give it.
        since_s: seconds since it wrote that, by the clock of the disk, since another host has a clock of its own; None
            if that can't be judged.
    """

    here: bool
    state: State | None
    since_s: float | None


def main() -> int:
    parser = Parser("status", __doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="results folder of the run")
    arguments = parser.parse_args()
    if not arguments.results.is_dir():
        raise UsageError(f"there is no results folder {str(arguments.results)!r}; name the run's own with --results")
    on_nodes = _on_nodes(arguments.results)
    holders = {run: holder for run, holder in _holders(arguments.results) if run not in on_nodes}
    live = {run: _running(arguments.results, run, holder) for run, holder in holders.items() if holder.alive}
    unfinished = {run: look for run, look in on_nodes.items() if look.left}
    for shown in (*([table(live)] if live else []), *([cluster_table(unfinished)] if unfinished else [])):
        progress.console().print(shown.to_rich())
    if not live and not unfinished:
        say(f"nothing is running on {arguments.results}")
    for run, holder in holders.items():
        if _may_be_alive(holder):
            say(f"note: run {run} of another host: {_silence(holder)}; it is not known whether it is alive")
    return 0


def _on_nodes(results: Path) -> dict[str, Look]:
    """How each run stands that was handed to a cluster, by its id, as far as its folder says it."""
    return {each.header.run: follow.by_files(each) for each in submission.all_of(results.absolute())}


def _holders(results: Path) -> Iterator[tuple[str, Holder]]:
    """The id of each run whose folder says who runs it, and who that is."""
    for folder in sorted((results / runs.RUNS).glob("*/")):
        if (holder := runs.holder(results, folder.name)) is not None:
            yield folder.name, holder


def _running(results: Path, run: str, holder: Holder) -> Running:
    file = runs.folder_of(results, run) / STATUS_FILE
    return Running(holder.here, State.read(file), disk.age_s(file))


def _may_be_alive(holder: Holder) -> bool:
    """Whether a run that is not known to be alive has not ended either, as far as this host can see."""
    return not (holder.alive or holder.here or holder.ended or holder.is_forgotten)


def _silence(holder: Holder) -> str:
    if holder.silent_s is None or holder.silent_s < 0:
        return "the time of its last sign of life can't be judged on this disk"
    return f"no sign of life for {duration(holder.silent_s)}"


def table(live: Mapping[str, Running]) -> Table:
    """A table with a row for each run, by its id."""
    return Table("Running now", _COLUMNS, tuple((word(run), *_row(running)) for run, running in live.items()))


def cluster_table(looks: Mapping[str, Look]) -> Table:
    """A table with a row for each run on a cluster, by its id."""
    rows = tuple((word(run), *_counts(look)) for run, look in looks.items())
    return Table("Cells on a cluster", _CLUSTER_COLUMNS, rows, (_WAITING,))


def _counts(look: Look) -> tuple[Entry, ...]:
    numbers = (look.done + look.left, look.done, look.failed, look.running, sum(look.waiting.values()))
    return tuple(map(count, numbers))


def _row(running: Running) -> tuple[Entry, ...]:
    host, state = word("this one" if running.here else "another"), running.state
    if state is None:  # it has not begun its first cell, or its file is not what a run writes
        return (host, absent("unknown"), *[absent()] * 5)
    phase_s = None if running.since_s is None else max(0.0, running.since_s)
    cell_s = None if phase_s is None else state.phase_started - state.cell_started + phase_s
    about = "unknown" if state.about_left_s is None else f"about {duration(state.about_left_s)}"
    return (
        host,
        word(state.title),
        word(state.phase if phase_s is None else f"{state.phase}, for {duration(phase_s)}"),
        absent("unknown") if cell_s is None else Entry(cell_s, duration),
        count(state.done),
        count(state.failed),
        word(f"{state.left}, {about}" if state.left else "0"),
    )


if __name__ == "__main__":
    run_command(main)
