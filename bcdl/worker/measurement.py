"""The worker: a cell in, a record out.

`python -m bcdl.worker JOB RESULT EVENTS` reads the job from a JSON file, writes the record to the file RESULT and a
line to the file EVENTS as each phase begins. It says nothing through stdout, which frameworks write to. Cells of one
model that measure no speed may share a worker: it takes three files a cell, and ends at the first cell that fails.
"""

from __future__ import annotations

import contextlib
import functools
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bcdl import backends
from bcdl.errors import BcdlError
from bcdl.machine import clock, hardware, provenance, scratch
from bcdl.records import disk, record
from bcdl.records.moment import now
from bcdl.records.record import Record
from bcdl.screen import warn
from bcdl.settings.cell import Cell
from bcdl.settings.job import RESULT_LOST, Job
from bcdl.text import on_one_line, scrub
from bcdl.worker import compilations, divergence, energy, parent_death, session, timing
from bcdl.worker.measured import NOBODY, Measured, Watcher
from bcdl.worker.phases import Phases

if TYPE_CHECKING:
    import keras

    from bcdl.worker.shared import Shared

_FILES = 3  # a cell
# Errors that say all that there is to say.
_EXPLAINED = (BcdlError, backends.DeviceError, backends.UnsupportedError)
# Measures the job's cell on the backend that was started, and adds each figure as soon as it is known. Returns the
# trained model, or None if there is none to keep.
MeasureCell = Callable[[Job, backends.Backend, Measured], "keras.Model | None"]


class Process:
    """What the cells that this process measures have in common; the backend is started by the first.

    Args:
        measure_cell: what measures a cell once the backend has started; `bcdl.worker.cell.measure` if not given.
        keep: whether what the first cell compiles is kept for later processes, unless its job says otherwise, and
            loaded if it was. What a part of a cell compiles, as in experiments, is no cache for a whole one.
        watcher: who follows the cells in this process.

    Attributes:
        watcher: as given.
        cells_before: how many cells were measured before.
    """

    def __init__(
        self,
        measure_cell: MeasureCell | None = None,
        keep: bool = True,
        watcher: Watcher = NOBODY,
    ) -> None:
        self._measure_cell, self._keep, self.watcher = measure_cell, keep, watcher
        self._adapter: backends.Backend | None = None
        self.cells_before = 0

    @property
    def measures_whole_cells(self) -> bool:
        """Whether it measures all that a cell's record has, and not a part, as experiments do."""
        return self._measure_cell is None

    def start(self, cell: Cell) -> backends.Backend:
        """The adapter of the cell's backend, with all imported that measures cells."""
        self._adapter = self._adapter or session.start(cell)
        self._measurer()
        return self._adapter

    def measure(self, job: Job, adapter: backends.Backend, measured: Measured) -> keras.Model | None:
        """Measure the job's cell; the trained model, or None if there is none to keep."""
        keeps = self._keep and not job.cold and not self.cells_before
        with compilations.kept(adapter, job.cell) if keeps else contextlib.nullcontext():
            return self._measurer()(job, adapter, measured)

    def _measurer(self) -> MeasureCell:
        from bcdl.worker import cell  # here: it imports Keras, on the backend that is there by now

        return self._measure_cell or functools.partial(cell.measure, watcher=self.watcher)


def main(*files: str) -> int:
    return serve(*files, process=Process(_sharing() if len(files) > _FILES else None))


def serve(*files: str, process: Process) -> int:
    """Read each job, measure it, and write its record, whole or not at all; the exit code.

    It is `RESULT_LOST` if there is no room for the record.
    """
    parent_death.end_with_driver()
    scratch.also_in(Path(files[1]).parent)
    for job_file, result_file, events_file in zip(*(files[part::_FILES] for part in range(_FILES)), strict=True):
        values = json.loads(Path(job_file).read_text(encoding="utf-8"))
        launched_s = None if process.cells_before else values["launched_s"]
        phases = Phases(functools.partial(_report, Path(events_file)), launched_s)
        outcome, _ = run(Job.from_dict(values["job"]), values["run"], phases, process)
        try:
            disk.replace(Path(result_file), outcome.to_json().encode())
        except OSError as error:
            warn(f"the record can't be handed to the driver: {error}")
            return RESULT_LOST
        if not outcome.ok:
            break
    return 0


def _report(events_file: Path, phase: str) -> None:
    """Say that a phase begins; on a full disk nobody learns it, and nothing else is lost."""
    with contextlib.suppress(OSError), events_file.open("a", encoding="utf-8") as events:
        events.write(phase + "\n")


def _sharing() -> MeasureCell:
    """Measures one cell after the other, which share what they can."""

    @functools.cache
    def shared() -> Shared:
        from bcdl.worker.shared import Shared  # here: it imports Keras

        return Shared()

    def measure(job: Job, adapter: backends.Backend, measured: Measured) -> keras.Model:
        from bcdl.worker import cell  # here, as above

        return cell.measure(job, adapter, measured, shared=shared())

    return measure


def run(job: Job, run_id: str, phases: Phases, process: Process | None = None) -> tuple[Record, keras.Model | None]:
    """Run the job's cell in this process; its record, and the trained model or None if it failed.

    Args:
        job: what to run.
        run_id: the run that the record belongs to.
        phases: books the seconds of each phase.
        process: what it has in common with the cells before; a new one if not given.
    """
    started, jumped_s, process = now(), clock.jump(), process or Process()
    measured = Measured(phases)
    adapter, model, status, reason = None, None, record.OK, ""
    phases.begin("describing the machine")
    measured.environment |= {**hardware.describe(job.cell.device), **provenance.facts(job.cell.backend)}
    measured.environment |= {"clock_mhz": hardware.clock_mhz(), "process": {"cells_before": process.cells_before}}
    measured.environment |= hardware.other_processes(job.cell.device)
    if process.measures_whole_cells and job.cell.timing and job.cell.device == "gpu":
        phases.begin("measuring idle power")
        measured.note_idle_gpu(energy.at_rest(job.cell.device))
    try:
        phases.begin("importing")
        with timing.timed(measured.metrics, "import_s"):
            adapter = process.start(job.cell)
        model = process.measure(job, adapter, measured)
    except Exception as raised:
        error = _as_divergence(raised) if adapter and adapter.is_divergence(raised) else raised
        if not isinstance(error, _EXPLAINED):
            process.watcher.failed(traceback.format_exc())
        status, reason = _explain(error, adapter)
    process.cells_before += 1
    measured.environment["code_changed"] = provenance.changed(job.cell.backend)
    if not job.cell.timing:
        measured.drop_speed()
    measured.environment["clock"] = {"jumped_s": round(jumped_s(), 3) + 0.0}
    return Record(run_id, status, scrub(reason), job.cell, started, now(), **measured.parts()), model


def _explain(error: Exception, adapter: backends.Backend | None) -> tuple[str, str]:
    """The status and the reason that a record gives for `error`."""
    if isinstance(error, backends.UnsupportedError):
        return record.SKIPPED, str(error)
    if isinstance(error, divergence.DivergedError):
        return record.DIVERGED, str(error)
    if isinstance(error, _EXPLAINED):
        return record.FAILED, str(error)
    summary = on_one_line(error, with_kind=True)
    if isinstance(error, MemoryError) or (adapter and adapter.is_out_of_memory(error)):
        return record.OUT_OF_MEMORY, f"memory ran out ({summary}); use a smaller --batch-size or --image-size"
    return record.FAILED, summary


def _as_divergence(error: Exception) -> Exception:
    return divergence.DivergedError(f"a step failed with {on_one_line(error, with_kind=True)}")
