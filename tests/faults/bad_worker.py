"""Workers that do what a worker must not: `python -m tests.faults.bad_worker FAULT MOMENT JOB RESULT EVENTS`.

They stand in for `bcdl.worker` and start in milliseconds: standard library, and of the project only the lifeline.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from bcdl.worker import parent_death

GIB = 2**30


# When a worker goes wrong: by what it has done before.
MOMENTS = ("at_once", "after_its_phases", "after_half_a_result", "after_printing", "deaf_to_signals")


def main(fault: str, moment: str, job: str, result: str, events: str) -> None:
    parent_death.end_with_driver()
    Path(events).write_bytes(b"going wrong\n\xff\xfe\n")
    if moment == "after_its_phases":
        Path(events).write_bytes(b"loading the data\nbuilding\ntraining\n" * 100)
    elif moment == "after_half_a_result":
        Path(result).write_text('{"schema": 3, "run": "', encoding="utf-8")
    elif moment == "after_printing":
        print("a word\n" * 100_000, flush=True)
    elif moment == "deaf_to_signals":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    FAULTS[fault](Path(job), Path(result))


def segfault(job: Path, result: Path) -> None:
    ctypes.string_at(0)


def end_at_once(job: Path, result: Path) -> None:
    os._exit(3)


def end_as_if_well(job: Path, result: Path) -> None:
    os._exit(0)


def be_killed(job: Path, result: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def abort_for_memory(job: Path, result: Path) -> None:
    """As C++ does where nobody catches its error."""
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def raise_an_exception(job: Path, result: Path) -> None:
    raise RuntimeError("no such luck in /home/someone/file.py")


def hang(job: Path, result: Path) -> None:
    time.sleep(3600)


def hang_holding_the_interpreter(job: Path, result: Path) -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")  # takes longer than the universe has been there, and lets no thread run


def allocate(job: Path, result: Path) -> None:
    held = []
    while True:
        held.append(bytearray(os.urandom(2**20)) * 16)
        time.sleep(0.01)


def allocate_in_a_child(job: Path, result: Path) -> None:
    code = "import time; held = bytearray(b'x') * (700 * 2**20); time.sleep(3600)"
    subprocess.run([sys.executable, "-c", code], check=False)


def leave_children(job: Path, result: Path) -> None:
    """Two hundred children, every second one in a session of its own, then death."""
    for number in range(200):
        subprocess.Popen(["sleep", "3600"], start_new_session=bool(number % 2))
    os._exit(1)


def leave_a_daemon(job: Path, result: Path) -> None:
    """A grandchild that has left the group, and whose parent is dead."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "3600"])
        os._exit(0)
    time.sleep(0.3)
    os._exit(1)


def keep_forking(job: Path, result: Path) -> None:
    """A process that starts a child and dies, twenty times a second, each child in a session of its own."""
    code = (
        "import os, time\nwhile True:\n    time.sleep(0.05)\n    if os.fork():\n        os._exit(0)\n    os.setsid()\n"
    )
    subprocess.Popen([sys.executable, "-S", "-c", code])
    time.sleep(0.5)
    os._exit(1)


def fork_bomb(job: Path, result: Path) -> None:
    """Each process starts more, up to 64, each in a session of its own; then death.

    Together they stay far below the limit of memory, however late they are looked at: each has 4 to 5 MiB.
    """
    code = "import os, time\nfor _ in range(6):\n    if not os.fork():\n        os.setsid()\ntime.sleep(3600)\n"
    subprocess.Popen([sys.executable, "-S", "-c", code])
    time.sleep(0.1)
    os._exit(1)


def print_gigabytes(job: Path, result: Path) -> None:
    chunk = b"x" * 2**20
    for _ in range(2 * GIB // len(chunk)):
        os.write(1, chunk)
    os.write(1, b"\nthe last word\n")
    os._exit(1)


def print_no_text(job: Path, result: Path) -> None:
    os.write(1, bytes(range(256)) * 100 + b"\n")
    os._exit(1)


def leave_half_a_result(job: Path, result: Path) -> None:
    result.write_text('{"schema": 3, "run": "a', encoding="utf-8")


def leave_no_text_as_result(job: Path, result: Path) -> None:
    result.write_bytes(b"\xff\xfe\x00")


def leave_a_huge_result(job: Path, result: Path) -> None:
    with result.open("wb") as file:
        file.truncate(10 * GIB)  # sparse


def leave_nested_brackets(job: Path, result: Path) -> None:
    result.write_text("[" * 10**6, encoding="utf-8")


def leave_another_cells_result(job: Path, result: Path) -> None:
    values = json.loads(job.read_text(encoding="utf-8"))
    cell = {**values["job"]["cell"], "model": "another"}
    times = {"started": "then", "ended": "then"}
    result.write_text(
        json.dumps({"schema": 3, "run": values["run"], "status": "ok", "reason": "", "cell": cell, **times}),
        encoding="utf-8",
    )


FAULTS = {
    function.__name__: function
    for function in (
        segfault,
        end_at_once,
        end_as_if_well,
        be_killed,
        abort_for_memory,
        raise_an_exception,
        hang,
        hang_holding_the_interpreter,
        allocate,
        allocate_in_a_child,
        leave_children,
        leave_a_daemon,
        keep_forking,
        fork_bomb,
        print_gigabytes,
        print_no_text,
        leave_half_a_result,
        leave_no_text_as_result,
        leave_a_huge_result,
        leave_nested_brackets,
        leave_another_cells_result,
    )
}

if __name__ == "__main__":
    main(*sys.argv[1:])
