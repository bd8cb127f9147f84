"""`bcdl COMMAND`: one table of all commands. Only the module of the command that was asked for is imported."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NamedTuple

from bcdl import ENDS_WITH_DRIVER, __version__
from bcdl.errors import UsageError, run_command
from bcdl.screen import say, say_lines


class Command(NamedTuple):
    """A command.

    Attributes:
        group: the heading under which `bcdl --help` lists it, a key of `GROUPS`.
        module: the module whose `main() -> int` runs it; `python -m bcdl.NAME` runs the same.
        help: what it does, in a line.
    """

    group: str
    module: str
    help: str


GROUPS = {
    "measure": "needs Keras and a backend, here or in a Python that is named",
    "read": "needs records alone, and no framework",
    "carry": "needs no framework",
    "check": "says what can be trusted",
}
COMMANDS = {
    "train": Command("measure", "bcdl.train", "train and measure one model in this process, and save it"),
    "run": Command("measure", "bcdl.run", "run all cells that a file asks for, on several backends"),
    "submit": Command("measure", "bcdl.submit", "hand all cells that a file asks for to a cluster's SLURM"),
    "ab": Command("measure", "bcdl.ab", "measure sides in turn, a process each, and compare every two"),
    "experiment": Command("measure", "bcdl.experiment", "list the experiments, or run one: one thing in several ways"),
    "sprint": Command("measure", "bcdl.sprint", "measure what is most valuable first, within a time: on a rented GPU"),
    "predict": Command("measure", "bcdl.predict", "label image files by a saved model, and explain the label"),
    "report": Command("read", "bcdl.report.__main__", "rebuild the page, tables and plots from records, or check them"),
    "compare": Command("read", "bcdl.compare", "say whether B is slower than A: exit code 1 on a regression"),
    "export": Command("read", "bcdl.export", "write samples or rates of records in the form of another tool"),
    "gallery": Command("read", "bcdl.gallery", "draw the test images that models got wrong most confidently"),
    "phases": Command("read", "bcdl.phases", "show where the time of cells goes, phase by phase"),
    "status": Command("read", "bcdl.status", "show what is running on a results folder"),
    "pack": Command("carry", "bcdl.pack.__main__", "write one folder to carry to a GPU machine without a network"),
    "env": Command("carry", "bcdl.env", "make an environment with a backend's pinned packages, for bcdl run"),
    "collect": Command("carry", "bcdl.collect", "join results folders from other machines and people"),
    "unpack": Command("carry", "bcdl.unpack", "add the records that came home from there to a results folder"),
    "parity": Command("check", "bcdl.parity.__main__", "compare what the backends compute of the same model"),
    "leaks": Command("check", "bcdl.leaks", "look for images that a folder holds twice"),
    "doctor": Command("check", "bcdl.doctor", "print versions, devices and precisions: what a bug report needs"),
}


def main() -> None:
    """Run the command that the arguments name, and leave with its exit code."""
    if os.environ.pop(ENDS_WITH_DRIVER, None):
        from bcdl.worker import parent_death  # here: no other command needs it

        parent_death.end_with_driver()
    run_command(_run)


def _run() -> int:
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        say_lines(overview())
        return 0
    if name == "--version":
        say(f"bcdl {__version__}")
        return 0
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}; the commands are {', '.join(COMMANDS)}; see bcdl --help")
    sys.argv = [f"bcdl {name}", *arguments]
    return int(importlib.import_module(COMMANDS[name].module).main())


def overview() -> str:
    """The text of `bcdl --help`: a line for each command, by group."""
    lines = ["usage: bcdl COMMAND [OPTION ...]", "       bcdl COMMAND --help", "       bcdl --version"]
    width = max(map(len, COMMANDS))
    for group, condition in GROUPS.items():
        lines += ["", f"{group} ({condition}):"]
        lines += [f"  {name:{width}}  {row.help}" for name, row in COMMANDS.items() if row.group == group]
    lines += ["", "Each is also `python -m bcdl.COMMAND`. Exit codes: 0 success, 1 a run or a check that failed,"]
    lines += ["2 wrong usage, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (a closed terminal)."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
