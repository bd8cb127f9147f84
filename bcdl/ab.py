"""Measure two sides in turn, a process each, round after round; then compare them.

A side is a backend and the Python that has it. Rounds keep the machine's drift out of the comparison: both sides of
a round meet the machine in the same condition. `nox -s bench-ab` makes the environments and calls this.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
from pathlib import Path

from bcdl.errors import BcdlError, UsageError, program, run_command
from bcdl.records import runs
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.screen import say
from bcdl.settings.limits import Limits, add_limit_options, resolve_limits
from bcdl.settings.options import MODELS, add_cell_options, notices, resolve, whole
from bcdl.statistics import comparison

DEFAULT_ROUNDS = 10  # fewer can't give a p under 0.002: see `effects.paired`


@dataclasses.dataclass(frozen=True)
class Side:
    """One side: its name (`a` or `b`), the Python that runs its workers, and its run."""

    name: str
    interpreter: str
    run: Run


def main() -> int:
    arguments = _parse()
    rounds = whole("--rounds", arguments.rounds)
    run_id = runs.new_run_id()
    sides = [_side(name, getattr(arguments, name), arguments, run_id) for name in ("a", "b")]
    checked = [line for side in sides for line in side.run.check()]
    for line in dict.fromkeys([*notices(vars(arguments)), *checked]):
        say(line)
    number = comparison.count(job.cell for job in sides[0].run.jobs)
    if rounds < (needed := comparison.rounds_needed(number)):
        say(f"{rounds} rounds of {number} comparisons give ratios, but can show no regression: that takes {needed}")
    files = measure(sides, rounds, run_id)
    _show(sides, files)
    say(f"records: {' '.join(map(str, files))}; judge them with python -m bcdl.compare")
    return 0


def _show(sides: list[Side], files: list[Path]) -> None:
    """Print the comparison of both sides."""
    # Here, so that the driver has neither matplotlib nor a report in its memory while its cells run.
    from bcdl import compare
    from bcdl.report.sections import comparison_table

    first, second = map(compare.read, files)
    console().print(comparison_table.table(comparison.compare(first, second)).to_rich())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program("ab"), description=__doc__)
    for side in ("a", "b"):
        parser.add_argument(f"--{side}", required=True, metavar="BACKEND[=PYTHON]", help=f"side {side}")
    MODELS.add(parser.add_argument)
    parser.add_argument("--rounds", default=str(DEFAULT_ROUNDS), help=f"processes a side; default {DEFAULT_ROUNDS}")
    add_limit_options(parser.add_argument)
    add_cell_options(parser.add_argument)
    return parser.parse_args()


def _side(name: str, text: str, arguments: argparse.Namespace, run_id: str) -> Side:
    """The side that the option --`name` gives as `text`, BACKEND or BACKEND=PYTHON."""
    backend, _, python = text.partition("=")
    interpreter = python or sys.executable
    if not Path(interpreter).is_file():
        raise UsageError(f"--{name} {text!r}: there is no Python at {interpreter!r}")
    jobs = resolve(vars(arguments), backend, arguments.models, installed_here=not python)
    limits: Limits = resolve_limits(vars(arguments))
    run = Run(jobs, Path(arguments.results), f"{run_id}-{name}", limits, require_clean=arguments.require_clean)
    return Side(name, interpreter, run)


def measure(sides: list[Side], rounds: int, run_id: str) -> list[Path]:
    """Measure every cell of both sides once a round, the sides in random order; the record file of each side.

    Raises BcdlError at the first cell that fails: a comparison that lacks a round of one side is not in turn.
    """
    order = random.Random(run_id)
    cells = [job.cell for side in sides for job in side.run.jobs] * rounds
    progress = RunProgress(console(), cells, sides[0].run.folder / STATUS_FILE)
    for number in range(rounds):
        for jobs in zip(*(side.run.jobs for side in sides), strict=True):
            for side, job in order.sample(list(zip(sides, jobs, strict=True)), k=len(sides)):
                block = f"{run_id}/{number}"
                (record,) = side.run.measure([job], progress, side.interpreter, block=block, side=side.name)
                if not record.ok:
                    failed = f"side {side.name}, {job.cell.model} on {job.cell.backend}"
                    raise BcdlError(f"{failed}: {record.status}: {record.reason}")
    return [side.run.file for side in sides]


if __name__ == "__main__":
    run_command(main)
