"""The sections of groups, which take most of a report's time, so that several processes make them.

Meanwhile this process makes the others. Whoever makes a section, it is the same to the byte.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import connection

import threadpoolctl

from bcdl.machine import hardware
from bcdl.records.groups import Group
from bcdl.report import figures
from bcdl.report.section import Section
from bcdl.report.sections import group as of_group
from bcdl.screen import warn

_FEWEST_GROUPS = 4  # a process starts in about the time that two groups take
_MOST_PROCESSES = 4  # each holds some hundred MiB


@contextlib.contextmanager
def begun(groups: Sequence[Group]) -> Iterator[Iterator[Section]]:
    """The section of each group, in their order. In the block they are made, while other things can be done."""
    processes = min(hardware.threads_worth_starting(), _MOST_PROCESSES)
    if processes < 2 or len(groups) < _FEWEST_GROUPS:
        yield map(section, groups)
        return
    # Started by a thread: the first process imports what it needs for seconds, and this one has other things to do.
    with contextlib.ExitStack() as pools, ThreadPoolExecutor(1) as starter:
        yield _completed(groups, starter.submit(_made_beside, groups, processes, pools))


def section(group: Group) -> Section:
    """The section of one group, with its figures."""
    return of_group.section(group, figures.of_group(group))


def _completed(groups: Sequence[Group], begun: Future[Iterator[Section]]) -> Iterator[Section]:
    """What other processes make, and what they do not, since they could not be started or were ended."""
    count = 0
    try:
        for each in begun.result():
            count += 1
            yield each
    except (OSError, BrokenExecutor) as error:
        warn(f"other processes could not make the pages and plots, so that this one does ({error})")
    yield from map(section, itertools.islice(groups, count, None))


def _made_beside(groups: Sequence[Group], processes: int, pools: contextlib.ExitStack) -> Iterator[Section]:
    """The sections, made by so many processes; OSError or BrokenExecutor if they can't be started or were ended."""
    has_server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if has_server else "spawn")
    if has_server:
        context.set_forkserver_preload([__name__])  # so that it is imported once
    pool = ProcessPoolExecutor(processes, context, initializer=_begin)
    pools.callback(pool.shutdown, wait=False, cancel_futures=True)
    longest_first = sorted(groups, key=lambda group: -len(group.records))
    made = {group: pool.submit(section, group) for group in longest_first}
    return (made[group].result() for group in groups)


def _begin() -> None:
    """Take one core alone; leave it to the parent process to answer Ctrl-C, and end when that has ended."""
    threadpoolctl.threadpool_limits(1)  # as many processes as cores have no use for more threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if parent := multiprocessing.parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)
