"""Train and measure one model in this process, with Keras's progress bar."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path
from typing import Protocol

from bcdl.errors import BcdlError, UsageError, program, run_command
from bcdl.machine import provenance
from bcdl.runner import progress
from bcdl.runner.run import Run
from bcdl.settings import models
from bcdl.settings.options import add_cell_options, configured_backend, notices, resolve
from bcdl.worker import measurement
from bcdl.worker.phases import Phases


class Model(Protocol):
    """A trained model, as Keras has it."""

    def save(self, file: Path) -> None: ...


def main() -> int:
    provenance.take()
    arguments = _parse()
    _check_save(arguments.save)
    backend = configured_backend()
    jobs = resolve(vars(arguments), backend, arguments.model, spread=False)
    if len(jobs) > 1:
        raise UsageError("python -m bcdl.train trains one cell; give one --model, --seed, --precision and split")
    run = Run(jobs, Path(arguments.results), require_clean=arguments.require_clean)
    for line in [*notices(vars(arguments), spread=False), *run.check()]:
        print(line)
    record, model = measurement.run(run.handed(jobs[0]), run.id, Phases(), measurement.Process(verbose=1))
    run.keep(jobs[0], record)
    if arguments.save and model is not None:  # before the report, so that no fault of it costs the model
        save(model, arguments.save)
        print(f"model: {arguments.save}")
    for line in _report(run):
        print(line)
    if not record.ok:
        raise BcdlError(f"{record.status}: {record.reason}")
    return 0


def save(model: Model, file: Path) -> None:
    """Write the model to `file`, whole or not at all; BcdlError if it can't be written. `file` ends in `.keras`."""
    part = file.with_name(f".bcdl-{secrets.token_hex(8)}{file.suffix}")
    try:
        model.save(part)
        part.replace(file)
    except OSError as error:
        raise BcdlError(
            f"the model could not be saved as {str(file)!r} ({error.strerror or error}); its record is kept: make "
            "room or choose another --save, then train again"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _report(run: Run) -> list[str]:
    """Show the run's record and rebuild the report; lines that say what was written."""
    from bcdl.report import run_end  # here, so that matplotlib takes neither time nor memory from what is measured

    return run_end.show_and_rebuild(list(run.records.values()), run.results, progress.console())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program("train"), description=__doc__)
    parser.add_argument("--model", default="mobilenet", help=f"one of {', '.join(models.MODELS)}; default mobilenet")
    parser.add_argument("--save", type=Path, metavar="PATH.keras", help="where to save the trained model")
    add_cell_options(parser.add_argument)
    return parser.parse_args()


def _check_save(file: Path | None) -> None:
    """UsageError if a model could not be saved there: that is to be known before it is trained."""
    if file is None:
        return
    if file.suffix != ".keras":
        raise UsageError(f"--save {str(file)!r} does not end in .keras, the one format Keras saves whole models in")
    if not file.parent.is_dir():
        raise UsageError(f"--save {str(file)!r}: there is no folder {str(file.parent)!r}; make it first")
    if file.is_dir():
        raise UsageError(f"--save {str(file)!r} is a folder; name a file")
    if not os.access(file.parent, os.W_OK):
        raise UsageError(f"--save {str(file)!r}: nothing can be written into {str(file.parent)!r}; choose another")


if __name__ == "__main__":
    run_command(main)
