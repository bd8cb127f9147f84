"""The options of the commands that hand their work to SLURM."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bcdl.runner.cluster import script
from bcdl.runner.cluster.script import Asked

# Options whose values begin with a hyphen themselves.
_PASSED_ON = ("--sbatch", "--setup")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options that every such command has."""
    parser.add_argument("--slurm", action="store_true", help="hand the work to SLURM, on a login node of its cluster")
    parser.add_argument("--wait", action="store_true", help="follow it until it has ended, then show the report")
    parser.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTIONS",
        help="options that sbatch gets, as in --sbatch='--partition=gpu --time=2:00:00'; may be given several times",
    )
    parser.add_argument(
        "--setup",
        action="append",
        default=[],
        metavar="LINE",
        help="a line of shell before Python is started on a node, as in --setup='module load cuda'; may be given "
        "several times",
    )


def read(arguments: argparse.Namespace) -> Asked:
    """What is asked of SLURM; UsageError if an option can't be read."""
    return Asked(setup=tuple(arguments.setup), more=script.words_of(arguments.sbatch))


def joined(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words of a command line, an option of those with its value in one word, as in `--sbatch=--partition=gpu`.

    Else its parser would take the value for an option. What is one of its own options stays apart.

    Args:
        words: those of the command line.
        options: all options of the command.
    """
    left, made = list(words), []
    while left:
        word = left.pop(0)
        if word in _PASSED_ON and left and left[0].partition("=")[0] not in options:
            word = f"{word}={left.pop(0)}"
        made.append(word)
    return made


def without(words: Sequence[str]) -> list[str]:
    """The words of a command line, joined, without the options of this module."""
    return [word for word in words if word not in ("--slurm", "--wait") and not word.startswith(_WITH_VALUES)]


_WITH_VALUES = tuple(f"{name}=" for name in _PASSED_ON)
