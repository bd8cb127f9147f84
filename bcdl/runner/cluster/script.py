"""The batch script of a task, and what is asked of the scheduler for it."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.machine import provenance
from bcdl.records import runs
from bcdl.runner.cluster import slurm
from bcdl.runner.cluster.submission import PYTHONS, TASK_LOG
from bcdl.text import quoted

# Exit codes of the script, those of sysexits.h: no such folder, no such Python, no room, a line of --setup that failed.
NO_FOLDER, NO_PYTHON, NO_ROOM, NO_SETUP = 66, 69, 73, 78
TASK_MODULE = "bcdl.runner.cluster.task"
_OF_MEMORY = ("--mem", "--mem-per-cpu", "--mem-per-gpu")
# What bcdl itself says to sbatch, and what takes the cells to where the queue here does not show them.
_OURS = ("--array", "--chdir", "--clusters", "--error", "--job-name", "--output", "--parsable", "--test-only", "--wrap")
# With these, sbatch submits nothing, or returns only after the job.
_NO_SUBMISSION = ("--help", "--usage", "--version", "--wait")
_REFUSED = (*_OURS, *_NO_SUBMISSION)
# The same by their letters, behind letters of options that take no value.
_REFUSED_LETTERS = re.compile(r"-[HkOQsvX]*[aDeJMohuVW].*", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a person asks of the scheduler.

    Attributes:
        setup: lines of the script before its Python is started.
        more: words that sbatch gets as they are.
        gres: what a cell on a GPU gets; empty for nothing.
        cpus: processors of each cell; None for what the site gives, or the whole node if it gets that.
        at_once: how many cells run at once at most; None for no limit.
    """

    setup: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    gres: str = "gpu:1"
    cpus: int | None = None
    at_once: int | None = None


def words_of(options: Sequence[str]) -> tuple[str, ...]:
    """The words of the values of --sbatch; UsageError if one can't be read, or is an option that bcdl gives itself."""
    return tuple(word for text in options for word in _words_in(text))


def _words_in(text: str) -> list[str]:
    """The words of one value; the value of an option is one word with it, so that none can stand for the script."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--sbatch {quoted(text)}: {error}; close what is quoted") from error
    words: list[str] = []
    for part in parts:
        if part.startswith("-") and part.strip("-"):
            words.append(part)
        elif words and _takes_a_value(words[-1]):
            words[-1] += f"={part}" if words[-1].startswith("--") else part
        else:
            raise UsageError(
                f"--sbatch {quoted(text)}: {quoted(part)} is no option of sbatch; write it as in "
                "--sbatch='--partition=NAME'"
            )
    if not words:
        raise UsageError(f"--sbatch {quoted(text)} is no option of sbatch; write it as in --sbatch='--partition=NAME'")
    for word in words:
        if _is_refused(word):
            raise UsageError(
                f"--sbatch {quoted(word)}: bcdl gives sbatch this option itself, or can't follow it; leave it out"
            )
    return words


def _takes_a_value(word: str) -> bool:
    """Whether the word is an option alone, whose value the next word may be; if it takes none, sbatch refuses it."""
    return "=" not in word if word.startswith("--") else len(word) == 2


def _is_refused(word: str) -> bool:
    """Whether it is one of the refused options, or the beginning of its name, as sbatch takes it, too."""
    if word.startswith("--"):
        name = word.partition("=")[0]
        return any(refused.startswith(name) for refused in _REFUSED)
    return _REFUSED_LETTERS.fullmatch(word) is not None


def resources(device: str, timing: bool, asked: Asked) -> list[str]:
    """What sbatch is asked for a cell: one that is timed gets a whole node, or on a GPU a whole GPU.

    What a person asks for comes last, so that it counts.
    """
    own = ["--nodes=1", "--ntasks=1"]
    if device == "gpu":
        own += [f"--gres={asked.gres}"] if asked.gres else []
    elif timing:
        own += ["--exclusive"]
        own += [] if slurm.has_option(asked.more, *_OF_MEMORY) else ["--mem=0"]  # all that the node has
    own += [f"--cpus-per-task={asked.cpus}"] if asked.cpus else []
    return [*own, *asked.more]


def of_task(folder: Path, setup: Sequence[str]) -> str:
    """The script of the tasks of a run, which gets the number of the first task of its array.

    Args:
        folder: of the run, as nodes see it.
        setup: lines before the Python is started.
    """
    of_run, tasks = shlex.quote(str(folder)), shlex.quote(f"{folder}/{runs.TASKS}")
    lines = [
        "#!/bin/bash",
        "# A task of a job array: it runs one cell. Made by bcdl submit.",
        "bcdl_task=$((${1:?the number of the first task} + ${SLURM_ARRAY_TASK_ID:?of an array}))",
        f"[ -d {tasks} ] || exit {NO_FOLDER}",
        f'bcdl_log={tasks}/"$bcdl_task/{TASK_LOG}"',
        f'mkdir -p "${{bcdl_log%/*}}" && touch "$bcdl_log" || exit {NO_ROOM}',
        'exec >>"$bcdl_log" 2>&1',
        *_setup(setup),
        f'bcdl_python=$(sed -n "$((bcdl_task + 1))p" {of_run}/{PYTHONS})',
        f'[ -x "$bcdl_python" ] || {{ echo "error: this node has no Python at $bcdl_python"; exit {NO_PYTHON}; }}',
        *_python_path(),
        f'exec "$bcdl_python" -m {TASK_MODULE} {of_run} "$bcdl_task"',
    ]
    return "\n".join(lines) + "\n"


def of_command(command: Sequence[str], setup: Sequence[str]) -> str:
    """The script that runs one command, by whose exit code it ends, after lines of its own."""
    lines = [
        "#!/bin/bash",
        "# One command of bcdl in one allocation. Made by bcdl.",
        *_setup(setup),
        *_python_path(),
        f"exec {shlex.join(command)}",
    ]
    return "\n".join(lines) + "\n"


def _setup(lines: Sequence[str]) -> list[str]:
    """The lines, each with one behind it that ends the script if it failed."""
    checked = []
    for number, line in enumerate(lines, start=1):
        failed = f'echo "error: line {number} of --setup ended with exit code $bcdl_code"; exit {NO_SETUP}'
        checked += [line, f'bcdl_code=$?; [ "$bcdl_code" -eq 0 ] || {{ {failed}; }}']
    return checked


def _python_path() -> list[str]:
    """A line by which a Python finds the bcdl of this checkout; none if bcdl is installed."""
    paths = ":".join(provenance.python_path())
    return [f"export PYTHONPATH={shlex.quote(paths)}${{PYTHONPATH:+:$PYTHONPATH}}"] if paths else []


def check_syntax(script: str) -> None:
    """UsageError if a shell can't read the script, as if a line of --setup leaves a quote open."""
    if (bash := shutil.which("bash")) is None:
        return
    done = subprocess.run([bash, "-n"], input=script, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it says no more"])[0].partition(": ")[2]
        raise UsageError(f"--setup: a shell can't read its lines ({said}); each of them must be whole by itself")
