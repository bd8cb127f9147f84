"""python -m bcdl.train: one model, trained and measured in this process, with Keras's progress bar."""

from __future__ import annotations

import argparse
from pathlib import Path

from bcdl.errors import BcdlError, UsageError, program, run_command
from bcdl.runner import progress
from bcdl.runner.run import Run
from bcdl.settings import models
from bcdl.settings.options import add_cell_options, configured_backend, resolve
from bcdl.worker import measurement


def main() -> int:
    arguments = _parse()
    backend = configured_backend()
    jobs = resolve(vars(arguments), backend, arguments.model)
    if len(jobs) > 1:
        raise UsageError("python -m bcdl.train trains one model from one seed; give one --model and one --seed")
    _check_save(arguments.save)
    run = Run(jobs, Path(arguments.results), require_clean=arguments.require_clean)
    for line in run.check():
        print(line)
    record, model = measurement.run(jobs[0], run.id, lambda phase: None, verbose=1)
    run.keep(jobs[0], record)
    for line in _report(run):
        print(line)
    if not record.ok:
        raise BcdlError(f"{record.status}: {record.reason}")
    if arguments.save and model is not None:
        model.save(arguments.save)
        print(f"model: {arguments.save}")
    return 0


def _report(run: Run) -> list[str]:
    """Show the run's record and rebuild the report; lines that say what was written."""
    # Here, so that matplotlib takes neither time nor memory from what is measured.
    from bcdl.report import page, run_table
    from bcdl.report.plots import image_grid

    run_table.print_run(list(run.records.values()), progress.console())
    if run.examples:
        image_grid.draw_local(run.examples, run.results)
    return page.build(run.results)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program("train"), description=__doc__)
    parser.add_argument("--model", default="mobilenet", help=f"one of {', '.join(models.MODELS)}; default mobilenet")
    parser.add_argument("--save", type=Path, metavar="PATH.keras", help="where to save the trained model")
    add_cell_options(parser.add_argument)
    return parser.parse_args()


def _check_save(file: Path | None) -> None:
    if file is None:
        return
    if file.suffix != ".keras":
        raise UsageError(f"--save {str(file)!r} does not end in .keras, the one format Keras saves whole models in")
    if not file.parent.is_dir():
        raise UsageError(f"--save {str(file)!r}: there is no folder {str(file.parent)!r}; make it first")


if __name__ == "__main__":
    run_command(main)
