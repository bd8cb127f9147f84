"""Start a worker for a job and turn every way it can end into a record. Never imports Keras."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bcdl import machine, record, store
from bcdl.options import Job
from bcdl.record import Record, RecordError, scrub

_POLL_S = 0.2
_TAIL_LINES = 20
# Keras settings that would silently change what is measured.
_UNWANTED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")


def run(job: Job, run_id: str, log: Path, on_phase: Callable[[str], None], interpreter: str = sys.executable) -> Record:
    """Run the job in a worker process of `interpreter`; its record, whatever became of the worker.

    Args:
        job: what to run.
        run_id: the run the record belongs to.
        log: file that takes the worker's stdout and stderr.
        on_phase: called with each phase as the worker begins it.
        interpreter: the Python that has the cell's backend.
    """
    started = store.now()
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bcdl-") as name, log.open("wb") as output:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps({"job": job.to_dict(), "run": run_id}), encoding="utf-8")
        files = [str(folder / part) for part in ("job.json", "result.json", "events.txt")]
        code = _run_process([interpreter, "-m", "bcdl.worker", *files], output, folder / "events.txt", on_phase)
        outcome = _read(folder / "result.json")
    if outcome is None:
        status, reason = _death(code)
        outcome = Record(run_id, status, reason, job.cell, started, store.now(), environment=_environment(job))
    return outcome if outcome.ok else _with_log(outcome, log)


def _run_process(command: list[str], output: Any, events: Path, on_phase: Callable[[str], None]) -> int:
    environment = {key: value for key, value in os.environ.items() if key not in _UNWANTED}
    environment["PYTHONPATH"] = os.pathsep.join([str(machine.ROOT), *filter(None, [environment.get("PYTHONPATH")])])
    environment["PYTHONUNBUFFERED"] = "1"
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the driver alone, which ends the whole group below
    )
    seen = 0
    try:
        while process.poll() is None:
            time.sleep(_POLL_S)
            phases = events.read_text(encoding="utf-8").splitlines() if events.is_file() else []
            for phase in phases[seen:]:
                on_phase(phase)
            seen = len(phases)
    finally:
        _end_group(process)
    return process.returncode


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def _read(result: Path) -> Record | None:
    try:
        return Record.from_json(result.read_text(encoding="utf-8"))
    except (OSError, RecordError, UnicodeDecodeError):
        return None


def _death(code: int) -> tuple[str, str]:
    """Status and reason of a worker that ended without a record."""
    if code >= 0:
        return record.CRASHED, f"the worker ended with exit code {code} and left no record; see its log"
    name = signal.Signals(-code).name
    hint = "; the system does this when memory runs out, so try a smaller --batch-size" if name == "SIGKILL" else ""
    return record.CRASHED, f"the worker was ended by {name}{hint}"


def _environment(job: Job) -> dict[str, Any]:
    return {**machine.describe(job.cell.device), **machine.commit()}


def _with_log(outcome: Record, log: Path) -> Record:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    return Record(**{**vars(outcome), "log_tail": [scrub(line) for line in lines]})
