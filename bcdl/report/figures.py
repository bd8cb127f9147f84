"""Figures as files: PNG that names the digest of what it was drawn from, so that a check can compare the two.

Those of groups take most of a report's time, so that several processes draw them while the report writes its tables.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import connection
from typing import Protocol

from matplotlib.figure import Figure

from bcdl.machine import hardware
from bcdl.records.groups import Group
from bcdl.report import plots
from bcdl.report.plots import style
from bcdl.screen import warn

_FEWEST_GROUPS = 4  # a process starts in about the time that two groups take to be drawn
_MOST_PROCESSES = 4  # each holds some hundred MiB


class Source(Protocol):
    """What a figure is drawn from: a record, a parity finding or an experiment."""

    def to_json(self) -> str: ...


def of_groups(groups: Sequence[Group]) -> Iterator[dict[str, bytes]]:
    """The figures of each group as PNG, by key, in the order of the groups; the same bytes whoever draws them."""
    processes = min(hardware.threads_worth_starting(), _MOST_PROCESSES)
    made = _drawn_beside(groups, processes) if processes > 1 and len(groups) >= _FEWEST_GROUPS else iter(())
    waiting = list(groups)
    try:
        for pngs in made:
            del waiting[0]
            yield pngs
    except (OSError, BrokenExecutor) as error:
        warn(f"other processes could not draw the plots, so that this one does ({error})")
    yield from map(of_group, waiting)


def of_group(group: Group) -> dict[str, bytes]:
    """The figures of one group as PNG, by key."""
    return to_pngs(group.slug, plots.draw(group), group.records)


def _drawn_beside(groups: Sequence[Group], processes: int) -> Iterator[dict[str, bytes]]:
    """As `of_groups`, drawn by so many processes; OSError or BrokenExecutor if they can't be started or were ended."""
    has_server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if has_server else "spawn")
    if has_server:
        context.set_forkserver_preload([__name__])  # so that it is imported once
    with ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool:
        try:
            yield from pool.map(of_group, groups)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Leave it to the parent process to answer Ctrl-C, and end when that has ended, however it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if parent := multiprocessing.parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)


def to_pngs(folder: str, drawn: Iterable[tuple[str, Figure]], sources: Iterable[Source]) -> dict[str, bytes]:
    """The figures of a section as PNG, each by its key `folder/name`; they are closed as they are taken.

    Args:
        folder: below `plots/`.
        drawn: each figure with its name; from an iterator, so that no more than one figure is open at a time.
        sources: what all of the figures were drawn from.
    """
    digest = hashlib.sha256("\n".join(source.to_json() for source in sources).encode()).hexdigest()
    return {f"{folder}/{name}": style.to_png(figure, digest) for name, figure in drawn}
