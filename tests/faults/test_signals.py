"""SIGTERM and SIGHUP end a run as Ctrl-C does, and no temporary file is left; what SIGKILL leaves, the next removes."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pty
import signal
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest

from bcdl import interrupts
from bcdl.machine import scratch
from bcdl.records import runs
from bcdl.runner import launch
from tests.faults import driver
from tests.faults.conftest import Injected
from tests.faults.test_drivers import begun_and_kept, interrupt_at, recorded, still_running

CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of all processes that the test starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def left_behind(temporary: Path, results: Path) -> list[str]:
    """What was to be removed and is there still."""
    return [path.name for path in (*temporary.glob("bcdl-*"), *(results / runs.RUNS).glob(f"*/{launch.EXCHANGE}*"))]


def wait_for(process: ForkServerProcess, printed: Path, mark: str) -> None:
    while mark not in (said := printed.read_text() if printed.exists() else ""):
        assert process.is_alive(), said
        time.sleep(0.02)


@dataclasses.dataclass
class Driver:
    """A driver of six cells on its way, and the files of what it says and prints."""

    process: ForkServerProcess
    results: Path
    said: Path
    printed: Path

    @classmethod
    def start(cls, tmp_path: Path, temporary: Path, main: Callable[..., object] = driver.drive) -> Driver:
        results, said, printed = (tmp_path / name for name in ("results", "said", "printed"))
        arguments = (results, driver.plan(tmp_path, seconds=0.3), said, 6)
        return cls(driver.fork(main, *arguments, temporary=temporary, printed=printed), results, said, printed)

    def reach(self, cell: int) -> None:
        """Wait until that cell is under way, the first of which is 0."""
        while len(begun_and_kept(self.said)[0]) <= cell:
            assert self.process.is_alive(), self.printed.read_text()
            time.sleep(0.02)


@pytest.mark.parametrize("instant", [0.0, 0.15, 0.3, 0.4])
@pytest.mark.parametrize("number", CODES)
def test_a_signal_at_any_instant_ends_a_run_and_leaves_nothing(
    tmp_path: Path, temporary: Path, injected: Injected, number: signal.Signals, instant: float
) -> None:
    started = Driver.start(tmp_path, temporary)
    with injected("signals") as tally:
        started.reach(2)
        time.sleep(instant)
        os.kill(started.process.pid, number)
        started.process.join()
        assert started.process.exitcode == CODES[number]
        _, kept = begun_and_kept(started.said)
        there = recorded(started.results)
        tally.lost += len(set(kept) - set(there))
        assert 2 <= len(kept) <= len(there) <= len(kept) + 1 < 6
        (line,) = (line for line in started.printed.read_text().splitlines() if "first" not in line)
        assert line == f"interrupted by {number.name}; every finished cell's record is kept"
        assert not still_running(started.results)
        assert left_behind(temporary, started.results) == []


def test_a_signal_to_all_processes_of_a_run_makes_no_crash(tmp_path: Path, temporary: Path, injected: Injected) -> None:
    """As a scheduler sends it: to the worker, which ends by it, and to the driver."""
    started = Driver.start(tmp_path, temporary)
    with injected("signals") as tally:
        started.reach(2)
        while not (workers := psutil.Process(started.process.pid).children()):
            time.sleep(0.02)
        workers[0].terminate()
        time.sleep(0.1)  # long enough for the driver to see that its worker has ended
        os.kill(started.process.pid, signal.SIGTERM)
        started.process.join()
        assert started.process.exitcode == 143
        tally.lost += 2 - len(recorded(started.results))
        assert len(recorded(started.results)) == 2  # each of them ok
        assert left_behind(temporary, started.results) == []


@pytest.mark.parametrize("second", interrupts.SIGNALS)
def test_a_second_signal_stops_at_once(
    tmp_path: Path, temporary: Path, injected: Injected, second: signal.Signals
) -> None:
    with injected("signals"):
        started = Driver.start(tmp_path, temporary, driver.end_slowly)
        for mark, number in (("begun\n", signal.SIGTERM), ("ending\n", second)):
            wait_for(started.process, started.printed, mark)
            os.kill(started.process.pid, number)
        started.process.join(30)
        assert started.process.exitcode == 128 + second


def test_a_signal_that_was_ignored_stays_ignored(injected: Injected) -> None:
    """As SIGHUP is under nohup."""
    with injected("signals"):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with interrupts.handled():
                assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
                assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
                os.kill(os.getpid(), signal.SIGHUP)
        finally:
            signal.signal(signal.SIGHUP, before)


def test_pytest_ends_by_sigterm_with_its_code_and_the_advice(
    tmp_path: Path, temporary: Path, injected: Injected
) -> None:
    results = tmp_path / "results"
    with injected("signals") as tally:
        process = driver.command(results, driver.plan(tmp_path, seconds=0.3), cells=6)
        said = interrupt_at(process, "[3/6]", number=signal.SIGTERM)
        assert process.returncode == 143, said
        done = len(recorded(results))
        tally.lost += max(0, 2 - done)
        assert 2 <= done < 6
        advice = f"{done} of 6 cells are done and recorded; the same command with --resume runs the rest"
        assert f"interrupted by SIGTERM: {advice}" in said
        assert "Traceback" not in said
        assert not still_running(results)
        assert left_behind(temporary, results) == []


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of a Unix system")
def test_a_terminal_that_is_closed_ends_a_run_that_can_print_no_more(
    tmp_path: Path, temporary: Path, injected: Injected
) -> None:
    results = tmp_path / "results"
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    with injected("signals") as tally:
        plan = driver.plan(tmp_path, seconds=0.3)
        process = driver.command(results, plan, cells=6, before=take_terminal, output=theirs)
        os.close(theirs)
        said = b""
        while b"[3/6]" not in said:
            said += os.read(ours, 4096)
        os.close(ours)
        assert process.wait() == 129
        tally.lost += 2 - min(2, len(recorded(results)))
        assert (results / "README.md").is_file()  # it had its report, too
        assert not still_running(results)
        assert left_behind(temporary, results) == []


def test_what_a_killed_run_has_left_the_next_removes_and_nothing_else(
    tmp_path: Path, temporary: Path, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    foreign = temporary / "bcdl-somebody"
    foreign.mkdir()
    (foreign / scratch._MARK_FILE).write_text("of another program")
    (temporary / "bcdl-a-link").symlink_to(foreign)
    with scratch.folder() as of_another_run:
        for kills in range(5):
            with injected("temporary_files") as tally:
                started = Driver.start(tmp_path, temporary)
                started.reach(len(recorded(started.results)) if kills else 0)
                time.sleep(0.1)
                started.process.kill()
                started.process.join()
                assert not still_running(started.results)
                others = {foreign.name, "bcdl-a-link", of_another_run.name}
                assert 1 <= len(set(left_behind(temporary, started.results)) - others) <= 2  # of this driver alone
                tally.lost += len(set(begun_and_kept(started.said)[1]) - set(recorded(started.results)))
        last = Driver.start(tmp_path, temporary)
        last.process.join()
        assert set(left_behind(temporary, last.results)) == others
        assert (foreign / scratch._MARK_FILE).read_text() == "of another program"


# A command, and what it does for a minute instead.
COMMANDS = {
    "train --model cnn --profile smoke": ("bcdl.train", "_measure", "or `pytest benchmarks --resume`"),
    "run {folder}/study.toml": ("bcdl.run", "_measure", "cells are done and recorded; the same command with --resume"),
    "ab --a torch --b torch --profile smoke": ("bcdl.ab", "Turns", "--resume goes on with the rounds that are left"),
    "sprint --backends torch": ("bcdl.sprint", "_work_through", "goes on with what is left, as with --resume"),
    "experiment cpu-cores --backend torch": (
        "bcdl.experiments.engine.rounds",
        "run",
        "has no --resume: give the same command again",
    ),
    "parity": ("bcdl.parity.__main__", "_plans", "a step has no --resume: give it again"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_measures_says_how_to_go_on(
    tmp_path: Path, temporary: Path, injected: Injected, command: str
) -> None:
    module, function, advice = COMMANDS[command]
    (tmp_path / "study.toml").write_text('[[matrix]]\nbackends = "torch"\nprofile = "smoke"\ndevice = "cpu"\n')
    asked = command.format(folder=tmp_path).split()
    arguments, printed = [*asked, "--results", str(tmp_path / "results")], tmp_path / "printed"
    with injected("signals"):
        process = driver.fork(driver.wait_as, module, function, arguments, temporary=temporary, printed=printed)
        wait_for(process, printed, "begun\n")
        os.kill(process.pid, signal.SIGTERM)
        process.join()
        *_, last = printed.read_text().splitlines()
        assert process.exitcode == 143
        assert last.startswith("interrupted by SIGTERM; every finished cell's record is kept; ")
        assert advice in last
        assert list(temporary.iterdir()) == []
