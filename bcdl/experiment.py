"""List the experiments, or run one: it measures the same thing in several ways in turn, and keeps the result."""

from __future__ import annotations

import itertools
import sys

from bcdl import backends, experiments, interrupts
from bcdl.errors import run_command
from bcdl.screen import say_lines
from bcdl.settings.arguments import Parser, program


def main() -> int:
    if not sys.argv[1:]:
        say_lines(overview())
        return 0
    if sys.argv[1] in ("-h", "--help"):
        say_lines(f"usage: {program('experiment')} [NAME [OPTION ...]]\n\n{__doc__}\n\n{overview()}")
        return 0
    return _run(sys.argv[1], sys.argv[2:])


def overview() -> str:
    """The list of experiments, each with the first sentence of its description."""
    width = max(map(len, experiments.names()))
    lines = [f"  {name:{width}}  {experiments.summary(name)}" for name in experiments.names()]
    return "\n".join(["experiments:", *lines, "", f"{program('experiment')} NAME --help says more of one."])


def _run(name: str, options: list[str]) -> int:
    interrupts.advise("an experiment under way has no --resume: give the same command again")
    definition = experiments.load(name)
    # Here, so that the list of experiments is there at once.
    from bcdl.experiments.engine import rounds
    from bcdl.report.sections.experiment_tables import experiment_table
    from bcdl.runner.progress import console

    arguments = _parser(name, definition).parse_args(options)
    for measured in rounds.run(definition, arguments):
        for title, made in itertools.groupby(measured, key=lambda experiment: experiment.name):
            console().print(experiment_table(title, list(made)).to_rich())
    return 0


def _parser(name: str, definition: experiments.Definition) -> Parser:
    from bcdl.experiments.engine.definition import ROUNDS, WithoutCell
    from bcdl.settings.options import DEFAULT_RESULTS, add_cell_options

    parser = Parser(f"experiment {name}", experiments.describe(name))
    ROUNDS.add(parser.add_argument)
    if isinstance(definition, WithoutCell):
        parser.add_argument("--results", default=DEFAULT_RESULTS, help=f"folder of results; default {DEFAULT_RESULTS}")
    else:
        parser.add_argument("--backend", required=True, help=f"one of {', '.join(backends.NAMES)}")
        parser.add_argument(
            "--models", default=definition.models, help=f"model names separated by commas; default {definition.models}"
        )
        add_cell_options(parser.add_argument)
    definition.add_options(parser.add_argument)
    return parser


if __name__ == "__main__":
    run_command(main)
