"""Train and measure one model in this process, with Keras's progress bar; piped, with a line for each epoch."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from bcdl import interrupts
from bcdl.errors import DEBUG, BcdlError, UsageError, debugging, run_command
from bcdl.machine import provenance, terminal
from bcdl.records.model_file import Statement
from bcdl.records.record import Record
from bcdl.runner import model_keeper, progress
from bcdl.runner.model_keeper import ModelKeeper
from bcdl.runner.run import Run
from bcdl.screen import say, warn
from bcdl.settings import models
from bcdl.settings.arguments import Parser
from bcdl.settings.options import add_cell_options, configured_backend, notices, resolve
from bcdl.text import legible, on_one_line
from bcdl.worker import measurement
from bcdl.worker.measured import Watcher
from bcdl.worker.phases import Phases


def main() -> int:
    provenance.take()
    interrupts.advise("give the same command again, or `pytest benchmarks --resume` for the cells that have no record")
    arguments = _parse()
    if arguments.debug:
        os.environ[DEBUG] = "1"
    if arguments.save is not None:
        model_keeper.check_place(arguments.save)
    backend = configured_backend()
    jobs = resolve(vars(arguments), backend, arguments.model, spread=False)
    if len(jobs) > 1:
        raise UsageError("python -m bcdl.train trains one cell; give one --model, --seed, --precision and split")
    run = Run(jobs, Path(arguments.results), require_clean=arguments.require_clean)
    notes = [*notices(vars(arguments), spread=False), *run.check()]
    keeper = None if arguments.save is None else _keeper(arguments.save, run)
    for line in [*notes, *_room_notes(keeper, run)]:
        say(line)
    record = _measure(run, keeper)
    troubles = [f"{record.status}: {record.reason}{_see(run)}"] if not record.ok else []
    troubles += [trouble] if keeper and (trouble := keeper.trouble()) else []
    troubles += _report(run, keeper)
    if troubles:
        raise BcdlError("; ".join(troubles))
    return 0


def _keeper(file: Path, run: Run) -> ModelKeeper:
    """What saves the model of the run, which has been checked; the model says what it is."""
    (job,) = run.jobs
    row = models.with_pixels(models.find(job.cell.model), job.cell.preprocessing)
    grey_bits = run.grey_bits[job.request]
    statement = Statement(row.name, job.cell.image_size, row.preprocessing, run.id, grey_bits=grey_bits)
    return ModelKeeper(file, run.results, statement)


def _room_notes(keeper: ModelKeeper | None, run: Run) -> list[str]:
    return model_keeper.room_notes(keeper.file, run.jobs[0].cell) if keeper else []


def _measure(run: Run, keeper: ModelKeeper | None) -> Record:
    """Measure the run's cell and keep its record; its model is kept before, as soon as it is trained.

    Raises BcdlError if the record can't be kept; it names the model then, and so does the line after an interrupt.
    """
    (job,) = run.jobs
    watcher = _watcher(functools.partial(_keep_traceback, run.log(job)), keeper)
    process = measurement.Process(watcher=watcher)
    try:
        record, _ = measurement.run(run.handed(job), run.id, Phases(), process)
        with interrupts.held():
            run.keep(job, record)
    except (BcdlError, OSError) as error:
        raise BcdlError(f"the record could not be kept: {error}{_model_too(keeper)}") from error
    finally:
        if keeper and keeper.kept:
            say(f"model: {keeper.kept}", flush=True)
    return record


def _watcher(failed: Callable[[str], None], keeper: ModelKeeper | None) -> Watcher:
    """Keras's bar for who watches a terminal; elsewhere a line for each epoch."""
    bar = terminal.is_watched(sys.stdout)
    tell = None if bar else functools.partial(say, flush=True)
    return Watcher(bar, tell, keeper.keep if keeper else None, failed)


def _keep_traceback(log: Path, text: str) -> None:
    """Put the traceback of the cell into the run's log; who asked for it sees it, too."""
    if debugging():
        for line in text.splitlines():
            warn(line)
    with contextlib.suppress(OSError):  # a full disk, which the record then meets, too
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text, encoding="utf-8", errors="backslashreplace")


def _see(run: Run) -> str:
    """Where the traceback of the run's cell is; empty if the reason says all, so that there is none."""
    log = run.log(run.jobs[0])
    return f"; its traceback is in {legible(str(log))}" if log.is_file() else ""


def _report(run: Run, keeper: ModelKeeper | None) -> list[str]:
    """Show the run's record and rebuild the report; why that failed, if it did: it costs neither record nor model."""
    try:
        from bcdl.report import run_end  # here, so that matplotlib takes neither time nor memory from what is measured

        for line in run_end.show_and_rebuild(list(run.records.values()), run.results, progress.console()):
            say(line)
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever it is, what was measured is kept
        again = f"bcdl report --results {legible(str(run.results))} makes it anew"
        kept = f"its record is kept in {legible(str(run.file))}{_model_too(keeper)}"
        return [f"the report could not be made ({on_one_line(error)}); {kept}; {again}"]
    return []


def _model_too(keeper: ModelKeeper | None) -> str:
    return f", the model in {legible(str(keeper.kept))}" if keeper and keeper.kept else ""


def _parse() -> argparse.Namespace:
    parser = Parser("train", __doc__)
    parser.add_argument("--model", default="mobilenet", help=f"one of {', '.join(models.MODELS)}; default mobilenet")
    parser.add_argument("--debug", action="store_true", help=f"show the traceback of a failure; so does {DEBUG}=1")
    parser.add_argument("--save", type=Path, metavar="PATH.keras", help="where to save the trained model")
    add_cell_options(parser.add_argument)
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
