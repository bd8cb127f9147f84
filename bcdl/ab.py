"""Measure two sides or more in turn, a process each, round after round; then compare every two of them.

A side is a backend, the Python that has it and, if `--b-from` or the like names a checkout, the bcdl of that one, as of
another branch. Rounds keep the machine's drift out of the comparison: all sides of a
round meet the machine in the same condition. `nox -s bench-ab` makes the environments and calls this. If all sides are
of one backend, as before and after an upgrade or a change, a side that is slower than the first is a regression, and so
is one that computes something else or does not load its checkpoint: exit code 1. With `--slurm`, one node of a cluster
does all of it, in one allocation.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import string
import sys
from collections.abc import Sequence
from pathlib import Path

from bcdl import interrupts
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.machine import hardware
from bcdl.parity.settings import BATCH_SIZE, DRAWS, IMAGE_SIZE, UNIT_ROUNDOFF, Plan
from bcdl.records import runs
from bcdl.runner import interpreter
from bcdl.runner.cluster import allocation, options, slurm
from bcdl.runner.cluster.script import Asked
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import STATUS_FILE, Run
from bcdl.runner.turns import Side, Turns, check
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.limits import Limits, add_limit_options, resolve_limits
from bcdl.settings.option import Number
from bcdl.settings.options import MODELS, RESUME, add_cell_options, notices, resolve
from bcdl.statistics import comparison
from bcdl.text import legible

DEFAULT_ROUNDS = 10  # fewer can't give a p under 0.002: see `effects.paired`
LETTERS = string.ascii_lowercase[:8]
_LEAST_SIDES = 2
_ROUNDS = Number("--rounds", "processes a side", least=1, most=10_000, default=str(DEFAULT_ROUNDS))


def main() -> int:
    interrupts.advise("the same command with --resume goes on with the rounds that are left")
    arguments = _parse()
    rounds = _ROUNDS.read(arguments.rounds)
    run_id = runs.new_run_id()
    asked = _asked(arguments)
    sides = [_side(name, text, arguments, run_id) for name in LETTERS if (text := getattr(arguments, name))]
    if len(sides) < _LEAST_SIDES:
        raise UsageError("two sides or more are needed: --a BACKEND --b BACKEND")
    checked = check(sides)
    if asked is not None:
        for line in dict.fromkeys([*notices(vars(arguments)), *checked, *_too_few(sides, rounds)]):
            say(line)
        return _hand_over(arguments, asked, sides[0].run, run_id)
    turns = Turns(sides, rounds, run_id)
    if arguments.resume:
        device = sides[0].run.jobs[0].cell.device
        checked.append(turns.take_up(Path(arguments.results), hardware.machine_name(device)))
    for line in dict.fromkeys([*notices(vars(arguments)), *checked, *_too_few(sides, rounds)]):
        say(line)
    turns.measure(RunProgress(console(), [job.cell for job in turns.left], sides[0].run.folder / STATUS_FILE))
    regressions, not_compared = _show(turns, Path(arguments.results))
    if not arguments.no_parity:
        regressions += _same_answers(turns, Path(arguments.results))
    return _conclude(turns, regressions, not_compared)


def _parse() -> argparse.Namespace:
    parser = Parser("ab", __doc__)
    for name in LETTERS:
        needed = name in LETTERS[:_LEAST_SIDES]
        parser.add_argument(f"--{name}", required=needed, metavar="BACKEND[=PYTHON]", help=f"side {name}")
        whose = f"checkout whose bcdl side {name} runs; default: this bcdl"
        parser.add_argument(f"--{name}-from", type=Path, metavar="FOLDER", help=whose)
    MODELS.add(parser.add_argument)
    _ROUNDS.add(parser.add_argument)
    RESUME.add(parser.add_argument)
    parser.add_argument("--no-parity", action="store_true", help="do not compare what sides of one backend compute")
    add_limit_options(parser.add_argument)
    add_cell_options(parser.add_argument)
    options.add(parser)
    return parser.parse_args(options.joined(sys.argv[1:], list(parser._option_string_actions)))


def _asked(arguments: argparse.Namespace) -> Asked | None:
    """What is asked of SLURM; None if the sides are measured here. UsageError if that can't be."""
    if not arguments.slurm and (arguments.wait or arguments.sbatch or arguments.setup):
        raise UsageError("--wait, --sbatch and --setup are for a cluster; add --slurm, or leave them out")
    asked = options.read(arguments)
    if not arguments.slurm:
        return None
    slurm.site()
    return asked


def _hand_over(arguments: argparse.Namespace, asked: Asked, first: Run, run_id: str) -> int:
    """Hand the comparison to SLURM, all of it to one node; the exit code, that of the comparison if it is waited for.

    A comparison that is handed over already is gone on with if that is asked for.
    """
    words = options.without(options.joined(sys.argv[1:], ()))
    again = "the same command with --resume --wait goes on with it"
    name = _name_of_job(words, Path(arguments.results))
    state = allocation.under_way(name)
    if state and arguments.resume:
        job, log = state.job, Path(slurm.output(state.job))
        say(f"resumed: the comparison is under way as SLURM job {job}; its output is in {log}")
    else:
        if state:
            say(f"note: this comparison is under way already, as SLURM job {state.job}; {again}")
        folder = runs.folder_of(first.results.absolute(), run_id)
        command = [sys.executable, "-m", "bcdl", "ab", *words]
        job = allocation.submit(name, command, folder, first.jobs[0].cell.device, asked)
        log = folder / allocation.LOG_FILE
        say(f"submitted as SLURM job {job}; its output is in {log}", flush=True)
    if not arguments.wait:
        say(f"{again}; bcdl status --results {arguments.results} shows it when it runs")
        return 0
    interrupts.advise(f"the comparison goes on: {again}; scancel {job} ends it")
    return allocation.follow(name, job, log, functools.partial(say, flush=True))


def _name_of_job(words: Sequence[str], results: Path) -> str:
    """The name of the scheduler's job of a comparison: the same for the same command."""
    asked_for = [str(results.absolute()), *(word for word in words if word not in RESUME.names)]
    return f"bcdl-ab-{hashlib.sha256(json.dumps(asked_for).encode()).hexdigest()[:12]}"


def _side(name: str, text: str, arguments: argparse.Namespace, run_id: str) -> Side:
    """The side that the option --`name` gives as `text`, BACKEND or BACKEND=PYTHON."""
    backend, _, python = text.partition("=")
    sources = _sources(arguments)
    source = sources.get(name)
    given = f"--{name}-from {legible(str(source))}" if source else f"--{name} {legible(text)}"
    by = interpreter.find(given, python or sys.executable, backend, source)
    jobs = resolve(
        vars(arguments), backend, arguments.models, installed_here=not by.facts, runs_here=not arguments.slurm
    )
    for job in jobs:
        by.values_of(job)  # refused before the first cell, if its bcdl does not know what is asked for
    limits: Limits = resolve_limits(vars(arguments))
    # Bcdls of two checkouts may keep what they have read in forms of their own. So all sides read the data alike.
    flags = {"require_clean": arguments.require_clean, "interpreter": by, "hands_over": not sources}
    return Side(name, Run(jobs, Path(arguments.results), f"{run_id}-{name}", limits, **flags))


def _sources(arguments: argparse.Namespace) -> dict[str, Path]:
    """The checkouts that sides have their bcdl from, by their names."""
    given = {name: getattr(arguments, f"{name}_from") for name in LETTERS}
    return {name: folder for name, folder in given.items() if folder is not None}


def _too_few(sides: Sequence[Side], rounds: int) -> list[str]:
    """A line if no regression could be shown with so few rounds."""
    pairs = len(sides) * (len(sides) - 1) // 2
    number = comparison.count(job.cell for job in sides[0].run.jobs) * pairs
    if rounds >= (needed := comparison.rounds_needed(number)):
        return []
    return [f"{rounds} rounds of {number} comparisons give ratios, but can show no regression: that takes {needed}"]


def _show(turns: Turns, results: Path) -> tuple[list[str], int]:
    """Print the comparison of every two sides; a line for each regression, and how many pairs can't be compared."""
    # Here, so that the driver has neither matplotlib nor a report in its memory while its cells run.
    from bcdl.parity import findings
    from bcdl.parity.verdicts import Verdicts
    from bcdl.report import answer
    from bcdl.report.sections import sides_in_turn

    measured = sides_in_turn.read_run(results, turns.run_id)
    if measured is None:
        return [], 0
    regressions: list[str] = []
    pairs = sides_in_turn.pairs(measured)
    for pair in pairs:
        console().print(sides_in_turn.table_of(pair).to_rich())
        if pair.failure:
            say(f"not compared: {pair.failure}")
        regressions += sides_in_turn.regressions(measured, pair)
    if rows := answer.rows([measured], Verdicts(findings.read_findings(results)[0])):
        for shown in (answer.table(rows), answer.cost_table(rows)):
            console().print(shown.condensed().to_rich())
        for row in rows:
            say(row.sentence)
    return regressions, sum(bool(pair.failure) for pair in pairs)


def _same_answers(turns: Turns, results: Path) -> list[str]:
    """Print whether sides of one backend compute the same and load each other's files; a line for each regression.

    Of several backends `nox -s parity` says it; of one Python and one bcdl there is nothing to compare.
    """
    from bcdl.parity import upgrade

    backend, *others = {side.run.jobs[0].cell.backend for side in turns.sides.values()}
    ran_by = [(side.name, side.run.interpreter) for side in turns.sides.values()]
    if others or len({(by.python, by.source) for _, by in ran_by}) == 1:
        return []
    plans, left_out = _plans(turns)
    sides = [upgrade.Side(f"{backend}.{name}", by.python, by.source) for name, by in ran_by]
    outcome = upgrade.compare(sides, plans, results, turns.run_id, functools.partial(say, flush=True))
    for line in [*outcome.lines, *left_out]:
        say(line)
    return outcome.regressions


def _plans(turns: Turns) -> tuple[list[Plan], list[str]]:
    """What is compared of each model, at its own size if that is not larger than parity's; and what is not."""
    plans: dict[Plan, None] = {}
    left_out: dict[str, None] = {}
    for cell in (next(iter(of_sides.jobs.values())).cell for of_sides in turns.cells):
        if cell.precision in UNIT_ROUNDOFF:
            size = min(cell.image_size, IMAGE_SIZE)
            plans[Plan(cell.model, size, BATCH_SIZE, 0, cell.precision, cell.device, DRAWS)] = None
        else:
            left_out[f"{cell.model}: whether the sides compute the same in {cell.precision} was not looked at"] = None
    return list(plans), list(left_out)


def _conclude(turns: Turns, regressions: Sequence[str], not_compared: int) -> int:
    """Print what follows; the exit code.

    Raises:
        BcdlError: a side was left out, since it failed, or some pairs of sides can't be compared.
    """
    for line in regressions:
        say(f"REGRESSION: {line}")
    files = sorted(str(side.run.file) for side in turns.sides.values() if side.run.file.exists())
    say(f"records: {' '.join(files)}; bcdl compare judges the files of two sides")
    if failures := turns.failures():
        raise BcdlError(f"{'; '.join(failures)}; the same command with --resume goes on")
    if not_compared:
        raise BcdlError(f"{not_compared} pairs of sides can't be compared; the lines 'not compared' above say why")
    return 1 if regressions else 0


if __name__ == "__main__":
    run_command(main)
