"""Hand all cells that a file asks for to a cluster's SLURM, a task each: `bcdl submit --slurm study.toml --wait`.

Everything is checked before the first cell is submitted. A cell whose speed is measured gets a whole node, or on a GPU
a whole GPU. `docs/cluster.md` shows the way from a login node to the table, and `docs/study-file.md` says what the file
holds.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bcdl import datasets, interrupts
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.records import runs
from bcdl.runner import launch, pythons
from bcdl.runner.cluster import options, slurm
from bcdl.runner.cluster.follow import Following, Watched
from bcdl.runner.cluster.script import Asked
from bcdl.runner.cluster.study import ClusterStudy
from bcdl.runner.progress import console
from bcdl.runner.run import Run
from bcdl.runner.study import exit_code
from bcdl.screen import say
from bcdl.settings import matrix
from bcdl.settings.arguments import Parser
from bcdl.settings.job import Job
from bcdl.settings.limits import add_limit_options, resolve_limits
from bcdl.settings.option import Number, Option
from bcdl.settings.options import REQUIRE_CLEAN, RESULTS

_LOCK = "submit"  # the lock that is held from the look at what is missing until it is submitted
_AT_ONCE = Number("--at-once", "cells that run at once; if not given, as many as SLURM starts", 1, 1_000_000)
_CPUS = Number("--cpus-per-task", "processors of each cell; if not given, what SLURM gives it", 1, 100_000)
_NO_GRES = "none"
_RESUME = Option(
    ("--resume",),
    "go on with the cells that are under way, and submit only those that have no record yet which a node made by the "
    "same code, versions and data",
    kind="flag",
)
_AGAIN = "the same command with --resume --wait follows the cells and submits what is missing"


def main() -> int:
    study, waits = _study()
    for line in [*study.notices, *study.run.check()]:
        say(line)
    with runs.one_at_a_time(study.run.results, _LOCK):
        watched = study.go_on_and_submit(_AGAIN)
    if watched and not waits:
        Following(watched, console()).settle_ended()
        say(f"{_AGAIN}; bcdl status --results {study.run.results} shows how they stand")
        return 0
    return _follow(study, watched)


def _study() -> tuple[ClusterStudy, bool]:
    """What the arguments ask for, checked as far as that reads no data; and whether the command waits for its end."""
    arguments = _parse()
    asked = _asked(arguments)
    resolve_limits(vars(arguments))  # refused here if it can't be read; each node resolves its own
    named = pythons.named(arguments.python)
    if not arguments.slurm:
        raise UsageError("--slurm is missing: name the scheduler that the cells are handed to; bcdl run runs them here")
    site = slurm.site()
    wanted = matrix.read(arguments.file, named, arguments.set, runs_here=False)
    run = Run(
        [_as_nodes_see(job) for jobs in wanted.jobs.values() for job in jobs],
        Path(arguments.results).absolute(),
        require_clean=arguments.require_clean,
        worker=launch.WORKER,
        hands_over=False,
    )
    limits = {name: getattr(arguments, name) for name in ("cell_timeout", "memory_limit")}
    by_backend = pythons.find(wanted.jobs, named)
    return ClusterStudy(run, by_backend, site, asked, limits, arguments.resume, wanted.notices), arguments.wait


def _parse() -> argparse.Namespace:
    parser = Parser("submit", __doc__)
    parser.add_argument("file", type=Path, metavar="FILE.toml", help="the file that says what to run")
    options.add(parser)
    matrix.add_option(parser.add_argument)
    pythons.add_option(parser.add_argument)
    for number in (_AT_ONCE, _CPUS):
        number.add(parser.add_argument)
    gres = f"what a cell on a GPU gets, as sbatch names it, or {_NO_GRES}; default gpu:1"
    parser.add_argument("--gres", default="gpu:1", help=gres)
    _RESUME.add(parser.add_argument)
    add_limit_options(parser.add_argument)
    for option in (REQUIRE_CLEAN, RESULTS):
        option.add(parser.add_argument)
    return parser.parse_args(options.joined(sys.argv[1:], list(parser._option_string_actions)))


def _asked(arguments: argparse.Namespace) -> Asked:
    """What is asked of SLURM for each cell; UsageError if an option can't be read."""
    return dataclasses.replace(
        options.read(arguments),
        gres="" if arguments.gres == _NO_GRES else arguments.gres,
        cpus=_CPUS.read(arguments.cpus_per_task) if arguments.cpus_per_task else None,
        at_once=_AT_ONCE.read(arguments.at_once) if arguments.at_once else None,
    )


def _as_nodes_see(job: Job) -> Job:
    """The job with paths that lead from the root: a node works in another folder."""
    paths = {name: os.path.abspath(path) for name in ("weights_file", "labels_file") if (path := getattr(job, name))}
    data = job.data if datasets.is_name(job.data) else os.path.abspath(job.data)
    return dataclasses.replace(job, data=data, **paths)


def _follow(study: ClusterStudy, watched: Sequence[Watched]) -> int:
    """Follow the cells until all have their record, then show the report of the study; the exit code."""
    if watched:
        interrupts.advise(f"the cells go on: {_AGAIN}; {study.cancelled_by(watched)} ends them")
        Following(watched, console()).until_done()
    else:
        say("no cell is left to submit")
    recorded = study.records(watched)
    # Here, so that the driver has neither matplotlib nor a report in its memory while it waits.
    from bcdl.report import run_end

    for line in run_end.show_and_rebuild_all(recorded, study.run.results, console()):
        say(line)
    code = exit_code(Counter(record.status for _, record in recorded))
    if unread := (asked := len(study.run.jobs)) - len(recorded):
        raise BcdlError(f"{unread} of {asked} cells have no record that can be read; bcdl report says why")
    return code


if __name__ == "__main__":
    run_command(main)
