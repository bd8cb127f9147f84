"""What else happened on the machine is read from the system, and what the system does not say is absent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bcdl.machine import disturbance
from bcdl.machine.clock import stopwatch
from bcdl.records.checks import check_shape
from bcdl.records.shapes import Disturbance
from tests.conftest import ROOT

# A process that works for a second and says what happened meanwhile.
_WORK = """
import json
from bcdl.machine import disturbance
from bcdl.machine.clock import stopwatch
with disturbance.watched() as facts:
    print("begun", flush=True)
    elapsed = stopwatch()
    while elapsed() < 1:
        pass
print(json.dumps(facts))
"""
_BUSY = "while True: pass"
_IDLE = "import time; time.sleep(60)"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what only Linux reports")
unix = pytest.mark.skipif(os.name == "nt", reason="Windows stops no process")


def work(seconds: float) -> None:
    elapsed = stopwatch()
    while elapsed() < seconds:
        pass


def test_what_is_seen_has_the_names_of_the_schema() -> None:
    with disturbance.watched() as facts:
        work(0.05)
    assert facts.keys() <= Disturbance.__annotations__.keys()
    check_shape(Disturbance, json.loads(json.dumps(facts)))
    assert facts["wall_s"] >= 0.05
    assert facts["processor_s"] > 0
    assert facts["machine_s"] >= facts.get("others_s", 0) >= 0


@linux
def test_linux_reports_all_but_quotas_and_heat() -> None:
    with disturbance.watched() as facts:
        work(0.05)
    assert Disturbance.__annotations__.keys() - facts.keys() <= {"quota_s", "heat_s"}


def test_nothing_is_said_of_a_block_that_failed() -> None:
    with pytest.raises(ValueError, match="broken"), disturbance.watched() as facts:
        raise ValueError("broken")
    assert facts == {}


@unix
def test_a_process_that_is_stopped_again_and_again_says_so() -> None:
    """Stopped for 60 of every 70 ms, its windows are several times too long, and yet steady."""
    process = subprocess.Popen([sys.executable, "-c", _WORK], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    while process.poll() is None:
        for number, seconds in ((signal.SIGSTOP, 0.06), (signal.SIGCONT, 0.01)):
            process.send_signal(number)
            time.sleep(seconds)
    facts = json.loads(process.stdout.read())
    assert facts["stops"] >= 3
    assert facts["processor_s"] < 0.8 * facts["wall_s"]


def test_a_handler_of_the_signal_that_continues_is_put_back() -> None:
    before = signal.getsignal(signal.SIGCONT)
    with disturbance.watched():
        assert signal.getsignal(signal.SIGCONT) != before
    assert signal.getsignal(signal.SIGCONT) == before


@linux
def test_what_other_processes_take_is_not_taken_for_its_own() -> None:
    other = subprocess.Popen([sys.executable, "-c", _BUSY])
    try:
        with disturbance.watched() as facts:
            time.sleep(1)
    finally:
        other.kill()
        other.wait()
    assert facts["others_s"] > 0.2
    assert facts["processor_s"] < 0.2


@pytest.mark.parametrize(
    ("arguments", "measures"),
    [
        (["python", "-m", "bcdl.worker", "job.json", "result.json", "events.txt"], True),
        (["python", "-m", "bcdl.experiments.workers.slowed", "0.05"], True),
        (["python", "-m", "bcdl.parity.worker", "job", "result"], True),
        (["python", "-m", "bcdl.train", "--model", "cnn"], True),
        (["python", "-m", "bcdl", "train"], True),
        (["/usr/bin/python", "/home/me/bin/bcdl", "train"], True),
        (["/home/me/bin/bcdl", "report"], False),
        (["python", "-m", "pytest", "benchmarks"], False),
        (["vim", "bcdl/worker/cell.py"], False),
        (["tail", "-f", "bcdl.train"], False),
        (["grep", "-r", "bcdl.worker"], False),
        (["cat", "bcdl", "train"], False),
        ([], False),
    ],
)
def test_who_measures_is_known_by_its_arguments(arguments: list[str], measures: bool) -> None:
    assert disturbance._measures(arguments) == measures


@linux
def test_another_run_on_the_machine_is_counted() -> None:
    # Asked of a process of its own: a worker's own children are of its run, and the other run may be a child of pytest.
    other = subprocess.Popen([sys.executable, "-c", _IDLE, "-m", "bcdl.worker"], stdout=subprocess.PIPE)
    code = "from bcdl.machine import disturbance; print(disturbance.other_runs(), *disturbance._others())"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        count, *found = map(int, done.stdout.split())
        assert other.pid in found
        assert count > 0
    finally:
        other.kill()
        other.communicate()


@linux
def test_a_wrapper_of_the_run_is_no_other_run() -> None:
    """`timeout` has the arguments of what it runs, and so have `tini` and `/usr/bin/time`."""
    code = "import os; from bcdl.machine.disturbance import _others; print(os.getppid() in _others())"
    command = ["timeout", "60", sys.executable, "-c", code, "-m", "bcdl.train"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_package_that_is_slowed_down_now_counts_not_the_one_that_was() -> None:
    before = {"wall_s": 0.0, "processor_s": 0.0, "machine_s": 0.0, "busy_s": 0.0, "heat of cpu0": 900.0}
    before |= {"heat of cpu8": 5.0, "asleep_s": 1e-6}
    after = {**before, "wall_s": 10.0, "heat of cpu8": 8.0, "asleep_s": 0.0}
    facts = disturbance._between(before, after)
    assert (facts["heat_s"], facts["asleep_s"]) == (3.0, 0.0)
    assert not [name for name in facts if " " in name]
