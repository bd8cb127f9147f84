"""What a process of its own measures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcdl.errors import DEBUG, BcdlError, debugging
from bcdl.experiments.workers import results
from bcdl.machine import environment, scratch
from bcdl.runner import supervisor
from bcdl.runner.supervisor import Ending
from bcdl.screen import warn
from bcdl.settings.limits import Limits
from bcdl.text import on_one_line


def result(name: str, command: Sequence[str], limits: Limits, variables: Mapping[str, str] | None = None) -> Any:
    """What a process writes by `workers.results`; BcdlError, with what it printed last, if it fails.

    Args:
        name: of what it measures, for the error.
        command: the interpreter's arguments that start it; behind them it gets the name of the file to write.
        limits: of its time and memory.
        variables: environment variables that it has beside those of this process.
    """
    with scratch.folder() as folder:
        file, log = folder / "result.json", folder / "log.txt"
        whole = [sys.executable, *command, str(file)]
        with supervisor.started(whole, {**environment.of_child(), **(variables or {})}, log) as process:
            outcome = process.watch(limits, lambda: results.read(file))
        if not isinstance(outcome, Ending):
            return outcome
        why = f"it took more than {limits.seconds:g} s" if outcome.over else f"exit code {outcome.code}"
        raise BcdlError(f"{name}: {why}{_last_words(log)}")


def _last_words(log: Path) -> str:
    """The last line that a process printed, for an error; all of it goes to stderr if that was asked for."""
    printed = log.read_text(encoding="utf-8", errors="replace").strip()
    if debugging():
        for line in printed.splitlines():
            warn(line)
    return f": {on_one_line(printed.splitlines()[-1])}; {DEBUG}=1 shows all that it printed" if printed else ""
