"""Whatever a worker does, its cell gets a record that says so, and nothing it started is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bcdl.records.record import Record
from bcdl.runner import launch, supervisor
from bcdl.settings.limits import Limits
from tests.factory import job
from tests.faults.bad_worker import FAULTS, MOMENTS
from tests.faults.conftest import Injected

MIB = 2**20
MARK = "BCDL_TEST_OF_A_FAULT"  # a variable that all inherit whom the worker starts
LIMITS = Limits(seconds=60, memory_bytes=500 * MIB)
HASTY = Limits(seconds=1.5, memory_bytes=500 * MIB)

# How each fault ends: the status, and words of the reason.
ENDINGS = {
    "segfault": ("crashed", "ended by SIGSEGV"),
    "end_at_once": ("crashed", "exit code 3"),
    "end_as_if_well": ("crashed", "exit code 0 and left no record"),
    "be_killed": ("crashed", "ended by SIGKILL, and not for want of memory"),
    "abort_for_memory": ("out_of_memory", "memory ran out and the framework gave up"),
    "raise_an_exception": ("crashed", "exit code 1"),
    "hang": ("timed_out", "longer than --cell-timeout, 1.5 s"),
    "hang_holding_the_interpreter": ("timed_out", "longer than --cell-timeout, 1.5 s"),
    "allocate": ("out_of_memory", "more than --memory-limit, 500 MiB"),
    "allocate_in_a_child": ("out_of_memory", "more than --memory-limit, 500 MiB"),
    "leave_children": ("crashed", "exit code 1"),
    "leave_a_daemon": ("crashed", "exit code 1"),
    "keep_forking": ("crashed", "exit code 1"),
    "fork_bomb": ("crashed", "exit code 1"),
    "print_gigabytes": ("crashed", "exit code 1"),
    "print_no_text": ("crashed", "exit code 1"),
    "leave_half_a_result": (
        "crashed",
        "exit code 0 and left no record; what it left in its place is refused: not a line of JSON",
    ),
    "leave_no_text_as_result": ("crashed", "is refused: 'utf-8' codec can't decode"),
    "leave_a_huge_result": ("crashed", "is refused: 10240 MiB, which is more than a record has"),
    "leave_nested_brackets": ("crashed", "is refused: not a line of JSON"),
    "leave_another_cells_result": ("crashed", "is refused: a record whose fields do not fit schema 3"),
}


# These take seconds each: they are tried at one moment.
SLOW = ("hang", "allocate", "leave_children", "leave_a_daemon", "keep_forking", "fork_bomb", "print_gigabytes")
ATTEMPTS = [(fault, moment) for fault in FAULTS for moment in (MOMENTS[:1] if fault.startswith(SLOW) else MOMENTS)]


def run(tmp_path: Path, fault: str, moment: str = "at_once") -> Record:
    limits = HASTY if fault.startswith("hang") else LIMITS
    worker = ("-m", "tests.faults.bad_worker", fault, moment)
    return launch.run(job(), "a-run", tmp_path / "worker.log", lambda phase: None, limits=limits, worker=worker)


def left(mark: str) -> set[int]:
    """What runs and was started by a test with this mark, whoever its parent is now.

    By many quick looks: one that starts the next and dies, again and again, escapes a slow one.
    """
    found, end = set(), time.monotonic() + 0.5
    while time.monotonic() < end:
        for pid in reversed(psutil.pids()):  # the latest first, before it is gone
            with contextlib.suppress(psutil.Error):
                if psutil.Process(pid).environ().get(MARK) == mark:  # one that is dead and not yet reaped has none
                    found.add(pid)
    return found - {os.getpid()}


@pytest.mark.parametrize(("fault", "moment"), ATTEMPTS)
def test_a_fault_becomes_a_record_and_leaves_no_process(
    tmp_path: Path, fault: str, moment: str, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, str(tmp_path))
    status, reason = ENDINGS[fault]
    with injected(fault):
        record = run(tmp_path, fault, moment)
        assert (record.status, reason in record.reason) == (status, True), record.reason
        assert record.cell == job().cell
        assert Record.from_json(record.to_json()) == record
        assert not left(str(tmp_path))


def test_who_starts_the_next_and_dies_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look lists all processes, then reads each: meanwhile the last of a chain may have died and started another."""
    worker = subprocess.Popen(["true"])
    dead = psutil.Process(worker.pid)
    missed = psutil.Popen(["sleep", "60"])
    looks = iter([(set(), {dead}), ({missed}, {dead}), ({missed}, {dead})])
    monkeypatch.setattr(supervisor, "_descendants", lambda before: next(looks))
    supervisor._end(worker, set())
    assert missed.wait(5) == -signal.SIGKILL


def test_of_gigabytes_printed_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    record = run(tmp_path, "print_gigabytes")
    size = (tmp_path / "worker.log").stat().st_size
    assert size < supervisor.MOST_LOG_BYTES + 2 * supervisor.LOG_TAIL_BYTES
    assert record.log_tail[-1] == "the last word"


def test_a_record_says_how_much_memory_was_used(tmp_path: Path) -> None:
    assert run(tmp_path, "allocate").value("peak_memory_mib") > 500


def test_a_worker_ends_with_its_driver(tmp_path: Path, injected: Injected) -> None:
    """A driver that is killed reaps nobody: the system ends the worker's whole group, stuck or not."""
    script = (
        "import sys; from bcdl.runner import launch; from tests.factory import job; from pathlib import Path\n"
        "worker = ('-m', 'tests.faults.bad_worker', sys.argv[1], 'at_once')\n"
        "launch.run(job(), 'a-run', Path(sys.argv[2]), lambda phase: print(phase, flush=True), worker=worker)\n"
    )
    for fault in ("hang", "hang_holding_the_interpreter"):
        with injected("driver_of_a_stuck_worker"):
            command = [sys.executable, "-c", script, fault, str(tmp_path / "log")]
            driver = psutil.Popen(command, stdout=-1, env={**os.environ, "PYTHONPATH": str(launch.provenance.ROOT)})
            driver.stdout.readline()  # it is at work
            workers = driver.children(recursive=True)
            assert workers
            driver.kill()
            driver.wait()
            _, alive = psutil.wait_procs(workers, timeout=5)
            assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
