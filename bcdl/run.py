"""Run all cells that a file asks for, one after another, backend by backend: `bcdl run study.toml`.

Each backend runs by this Python, or by that which `--python` names. Everything is checked before the first cell.
`docs/study-file.md` says what the file holds.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bcdl import interrupts
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.records import record, runs
from bcdl.runner import interpreter
from bcdl.runner.budget import Budget, BudgetedRun
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import Run
from bcdl.runner.study import Study
from bcdl.screen import say
from bcdl.settings import matrix
from bcdl.settings.arguments import Parser
from bcdl.settings.limits import BUDGET, Limits, add_limit_options, resolve_budget, resolve_limits
from bcdl.settings.matrix import Matrix
from bcdl.settings.options import REQUIRE_CLEAN, RESULTS, RESUME
from bcdl.text import legible

_ADVICE = "the same command with --resume runs the rest"


def main() -> int:
    interrupts.advise(_ADVICE)
    arguments = _parse()
    pythons = _pythons(arguments.python)
    asked = matrix.read(arguments.file, elsewhere=pythons)
    budget = _budget(arguments)
    study = Study(_runs(arguments, asked, _interpreters(asked, pythons)))
    for line in [*asked.notices, *study.check()]:
        say(line)
    left_out = _measured(study, budget)
    _report(study)
    for line in left_out:
        say(line)
    return _conclude(study)


def _parse() -> argparse.Namespace:
    parser = Parser("run", __doc__)
    parser.add_argument("file", type=Path, metavar="FILE.toml", help="the file that says what to run")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="Python of a backend, or the folder of its environment, as bcdl env makes one; once for each backend that "
        "this Python lacks",
    )
    RESUME.add(parser.add_argument)
    BUDGET.add(parser.add_argument)
    add_limit_options(parser.add_argument)
    for option in (REQUIRE_CLEAN, RESULTS):
        option.add(parser.add_argument)
    return parser.parse_args()


def _pythons(texts: Sequence[str]) -> dict[str, str]:
    """The path of the Python of each backend that `--python` names; UsageError if one can't be read."""
    pythons: dict[str, str] = {}
    for text in texts:
        backend, _, path = text.partition("=")
        if not backend or not path.strip():
            raise UsageError(f"--python {legible(text)} names no backend, or no Python; write it as in jax=PATH")
        if backend in pythons:
            raise UsageError(f"--python names two of {legible(backend)}; a backend runs by one Python, so give one")
        pythons[backend] = path
    return pythons


def _budget(arguments: argparse.Namespace) -> Budget | None:
    """The budget that `--budget` gives, beginning now; None without it."""
    seconds = resolve_budget(vars(arguments))
    return None if seconds is None else Budget.begin(arguments.budget, seconds, Path(arguments.results))


def _interpreters(asked: Matrix, pythons: Mapping[str, str]) -> dict[str, Interpreter]:
    """What runs the workers of each backend; UsageError if it can't, or if `--python` names a backend without cells."""
    if others := [name for name in pythons if name not in asked.jobs]:
        wanted = ", ".join(asked.jobs)
        raise UsageError(f"--python {legible(others[0])}: the file asks for cells on {wanted} alone; leave it out")
    return {
        backend: interpreter.find(f"--python {backend}", pythons.get(backend, sys.executable), backend)
        for backend in asked.jobs
    }


def _runs(arguments: argparse.Namespace, asked: Matrix, by_backend: Mapping[str, Interpreter]) -> list[Run]:
    """A run for each backend, all of one id."""
    limits: Limits = resolve_limits(vars(arguments))
    flags = {"resume": arguments.resume, "require_clean": arguments.require_clean}
    results, run_id = Path(arguments.results), runs.new_run_id()
    return [
        Run(list(jobs), results, run_id, limits, interpreter=by_backend[backend], name=f" on {backend}", **flags)
        for backend, jobs in asked.jobs.items()
    ]


def _measured(study: Study, budget: Budget | None) -> list[str]:
    """Run the cells that are left, as far as the budget goes; lines that say what was left out."""
    progress = study.progress()
    try:
        return _measure(study, progress, budget)
    except KeyboardInterrupt:
        done = f"{len(study.records)} of {len(study.jobs)} cells are done and recorded"
        interrupts.advise(f"{done}; {_ADVICE}, and bcdl report shows what is there")
        raise


def _measure(study: Study, progress: RunProgress, budget: Budget | None) -> list[str]:
    if budget is None:
        study.measure_all(progress)
        return []
    budgeted = BudgetedRun(study, study.left, progress, budget)
    say(budgeted.intention)
    for job in budgeted.order:
        budgeted.run_until(job)
    return budgeted.summary()


def _report(study: Study) -> None:
    """Show the records of the study and rebuild the report."""
    # Here, so that the driver has neither matplotlib nor a report in its memory while its cells run.
    from bcdl.report import run_end

    recorded = study.records
    records = [recorded[job] for job in study.jobs if job in recorded]
    for line in run_end.show_and_rebuild(records, study.results, console()) if records else ():
        say(line)


def _conclude(study: Study) -> int:
    """The exit code if every cell that was run is ok; BcdlError, which counts the others, if not."""
    statuses = Counter(outcome.status for outcome in study.records.values())
    number = statuses.pop(record.OK, 0) + statuses.total()
    if statuses:
        counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in statuses.items())
        raise BcdlError(
            f"{statuses.total()} of {number} cells are not ok ({counts}); the lines above say why, and the same "
            "command with --resume runs those again that may end otherwise"
        )
    return 0


if __name__ == "__main__":
    run_command(main)
