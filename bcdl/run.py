"""Run all cells that a file asks for, one after another, backend by backend: `bcdl run study.toml`.

Each backend runs by this Python, or by that which `--python` names. Everything is checked before the first cell.
`docs/study-file.md` says what the file holds.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bcdl import interrupts
from bcdl.errors import run_command
from bcdl.records import runs
from bcdl.runner import pythons
from bcdl.runner.budget import Budget, BudgetedRun
from bcdl.runner.interpreter import Interpreter
from bcdl.runner.progress import RunProgress, console
from bcdl.runner.run import Run
from bcdl.runner.study import Study, exit_code
from bcdl.screen import say
from bcdl.settings import matrix
from bcdl.settings.arguments import Parser
from bcdl.settings.limits import BUDGET, Limits, add_limit_options, resolve_budget, resolve_limits
from bcdl.settings.matrix import Matrix
from bcdl.settings.options import REQUIRE_CLEAN, RESULTS, RESUME

_ADVICE = "the same command with --resume runs the rest"


def main() -> int:
    interrupts.advise(_ADVICE)
    arguments = _parse()
    named = pythons.named(arguments.python)
    asked = matrix.read(arguments.file, named, arguments.set)
    budget = _budget(arguments)
    study = Study(_runs(arguments, asked, pythons.find(asked.jobs, named)))
    for line in [*asked.notices, *study.check()]:
        say(line)
    left_out = _measured(study, budget)
    _report(study)
    for line in left_out:
        say(line)
    return exit_code(Counter(outcome.status for outcome in study.records.values()))


def _parse() -> argparse.Namespace:
    parser = Parser("run", __doc__)
    parser.add_argument("file", type=Path, metavar="FILE.toml", help="the file that says what to run")
    matrix.add_option(parser.add_argument)
    pythons.add_option(parser.add_argument)
    RESUME.add(parser.add_argument)
    BUDGET.add(parser.add_argument)
    add_limit_options(parser.add_argument)
    for option in (REQUIRE_CLEAN, RESULTS):
        option.add(parser.add_argument)
    return parser.parse_args()


def _budget(arguments: argparse.Namespace) -> Budget | None:
    """The budget that `--budget` gives, beginning now; None without it."""
    seconds = resolve_budget(vars(arguments))
    return None if seconds is None else Budget.begin(arguments.budget, seconds, Path(arguments.results))


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


if __name__ == "__main__":
    run_command(main)
