"""A whole command in one allocation, as sides in turn need it: all of them must meet the same node."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bcdl.errors import BcdlError
from bcdl.records import disk
from bcdl.runner.cluster import lost, script, slurm
from bcdl.runner.cluster.script import Asked
from bcdl.runner.cluster.slurm import End, State
from bcdl.text import legible

LOG_FILE, _SCRIPT_FILE = "command.log", "command.sh"
_PAUSE_S = 5.0


def submit(name: str, command: Sequence[str], folder: Path, device: str, asked: Asked) -> str:
    """Submit the command, which gets a whole node, or on a GPU a whole GPU; the scheduler's id of its job.

    It works in the folder in which this process does, and what it prints goes to `LOG_FILE`.

    Args:
        name: of the job.
        command: program and arguments, as nodes see them.
        folder: takes its script and log.
        device: on which it computes.
        asked: what is asked of the scheduler.

    Raises:
        UsageError: SLURM would refuse it, or the folder can't be written.
        BcdlError: SLURM refused it.
    """
    text = script.of_command(command, asked.setup)
    script.check_syntax(text)
    file = folder / _SCRIPT_FILE
    with disk.writing(folder):
        disk.replace(file, text.encode("utf-8", "surrogateescape"))
    resources = script.resources(device, timing=True, asked=asked)
    slurm.check(file, resources)
    own = [f"--job-name={name}", f"--chdir={os.getcwd()}", f"--output={folder / LOG_FILE}", "--open-mode=append"]
    return slurm.submit(file, [*own, *resources])


def under_way(name: str) -> State | None:
    """What the queue says of the job of that name, if it runs or waits; BcdlError if the queue can't be asked."""
    state = slurm.states([name]).get((name, 0))
    return state if state and not state.has_ended else None


def follow(name: str, job: str, log: Path, show: Callable[[str], object]) -> int:
    """Show what the command prints until it has ended; its exit code.

    Args:
        name: of the job.
        job: the scheduler's id of it.
        log: the file that takes what it prints.
        show: gets each line.

    Raises:
        BcdlError: it did not end by itself; the message says how it ended.
    """
    tail, waits_for = _Tail(log), ""
    while True:
        tail.show_new(show)
        try:
            state = slurm.states([name]).get((name, 0))
        except BcdlError:
            time.sleep(_PAUSE_S)
            continue
        if state is None or state.has_ended:
            break
        if state.name != slurm.RUNNING and state.reason != waits_for:
            waits_for = state.reason
            show(f"SLURM job {job} waits ({waits_for})")
        time.sleep(_PAUSE_S)
    tail.show_new(show, all_of_it=True)
    return _code(job)


def _code(job: str) -> int:
    end = _end(job)
    if end is not None and end.state == "COMPLETED":
        return 0
    if end is not None and end.state == "FAILED" and end.code > 0 and end.code != script.NO_SETUP:
        return end.code
    if end is not None and end.state == "FAILED" and end.code < 0:
        raise BcdlError(f"SLURM job {job} {lost.how(end)}; its output is above")
    _, reason = lost.why(end, "")
    raise BcdlError(f"SLURM job {job}: {reason}")


def _end(job: str) -> End | None:
    """How the job ended, once the scheduler can be asked; None if it does not know any more."""
    while True:
        try:
            return slurm.ends(job).get(0)
        except slurm.SilentError:
            time.sleep(_PAUSE_S)


class _Tail:
    """Shows the lines that are added to a file, which may not be there yet."""

    def __init__(self, file: Path) -> None:
        self._file, self._shown, self._rest = file, 0, b""

    def show_new(self, show: Callable[[str], object], all_of_it: bool = False) -> None:
        """Show the lines that are new; with `all_of_it`, one that lacks its end, too."""
        try:
            with self._file.open("rb") as content:
                content.seek(self._shown)
                new = content.read()
        except OSError:
            return
        self._shown += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in [*lines, self._rest] if all_of_it and self._rest else lines:
            show(legible(line.decode("utf-8", "replace")))
