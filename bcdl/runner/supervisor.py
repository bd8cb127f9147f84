"""Runs a process within limits, whatever it does, and ends it with all that it started."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar

import psutil

from bcdl import interrupts
from bcdl.machine import scratch
from bcdl.settings.limits import Limits

_POLL_S = 0.2
# Looking through all processes of a machine costs milliseconds, which the one being measured would feel.
_POLL_TREE_S = 5.0
_END_S = 10.0
_APART_S = 1.0
# How much is kept of what a process prints, and of its end.
MOST_LOG_BYTES = 32 * 2**20
LOG_TAIL_BYTES = 64 * 2**10
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes:
        code: its exit code, or a signal's number, negative.
        over: the limit that it exceeded, `time` or `memory`; empty if none.
        system_killed: whether the system's own out-of-memory killer ended any process meanwhile.
        peak_bytes: the largest resident memory that was seen.
    """

    code: int
    over: str
    system_killed: bool
    peak_bytes: int


@contextlib.contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Supervised]:
    """A process that runs the command; of what it started, and of its temporary files, nothing is left after the block.

    Args:
        command: program and arguments. Its stdin is a pipe that closes when this process dies.
        environment: its environment variables.
        log: file that takes its stdout and stderr; if they are very long, their beginning and end.
    """
    with scratch.folder() as temporary:
        supervised = _start(command, {**environment, "TMPDIR": str(temporary)}, log)
        try:
            yield supervised
        finally:
            supervised.end()


def _start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Supervised:
    _adopt_orphans()
    before = set(psutil.Process().children(recursive=True))
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,  # a signal to the group reaches the driver alone, which ends this one
    )
    copier = threading.Thread(target=_copy, args=(process.stdout, log), daemon=True)
    copier.start()
    return Supervised(process, before, copier)


class Supervised:
    """A process that is watched while it works at one thing after the other."""

    def __init__(self, process: subprocess.Popen[bytes], before: set[psutil.Process], copier: threading.Thread) -> None:
        self._process, self._before, self._copier = process, before, copier
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether it has been ended, with all that it started."""
        return self._ended

    def watch(self, limits: Limits, poll: Callable[[], Result | None]) -> Result | Ending:
        """Wait for what `poll`, which is called a few times a second, gives; meanwhile and then the process goes on.

        If the process ends before that, or exceeds the limits, which count from this call, it is ended with all that it
        started: then the answer is how.
        """
        kills, start = _system_kills(), time.monotonic()
        over, peak, next_tree = "", 0, start
        while self._process.poll() is None and not over:
            time.sleep(_POLL_S)
            interrupts.take_effect()
            if (result := poll()) is not None:
                return result
            now = time.monotonic()
            whole_tree = now >= next_tree
            peak = max(peak, _resident_bytes(self._process.pid, whole_tree))
            if whole_tree:
                next_tree = now + _POLL_TREE_S
            over = _exceeded(limits, now - start, peak)
        if not over and (result := poll()) is not None:
            return result
        self.end()
        if -self._process.returncode in interrupts.SIGNALS:
            time.sleep(_APART_S)  # who ends a whole job sends the signal to this process, too, and it counts
            interrupts.take_effect()
        return Ending(self._process.returncode, over, _system_kills() > kills, peak)

    def end(self) -> None:
        """End the process and all that it started, if that has not been done; its log is complete then."""
        if self._ended:
            return
        _end(self._process, self._before)
        self._copier.join(_END_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._ended = True


def _exceeded(limits: Limits, seconds: float, peak_bytes: int) -> str:
    """The limit that so much time or memory exceeds, `time` or `memory`; empty if none."""
    if limits.memory_bytes is not None and peak_bytes > limits.memory_bytes:
        return "memory"
    return "time" if limits.seconds is not None and seconds > limits.seconds else ""


def _resident_bytes(pid: int, whole_tree: bool) -> int:
    """Resident memory of the process, and of all its children if asked for."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *(process.children(recursive=True) if whole_tree else ())):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return total


def _adopt_orphans() -> None:
    """Have the system give this process what a dead worker leaves running, so that it can be ended. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end(process: subprocess.Popen[bytes], before: set[psutil.Process]) -> None:
    """End the process, its group, and every process that it started, even in another group or session."""
    _kill_group(process)
    process.wait()
    stopped: set[psutil.Process] = set()
    ended: set[psutil.Process] = set()
    deadline = time.monotonic() + _END_S
    while time.monotonic() < deadline:
        running, dead = _descendants(before)
        if not (running - stopped or dead - ended):
            break  # not before: one that died since the last look may have started another, which this look missed
        for child in running - stopped:
            with contextlib.suppress(psutil.Error):
                child.suspend()  # what is stopped starts no more
        stopped |= running
        ended |= dead
    for child in stopped:
        with contextlib.suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(list(stopped | ended), timeout=_END_S)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()


def _descendants(before: set[psutil.Process]) -> tuple[set[psutil.Process], set[psutil.Process]]:
    """All descendants of this process that run, and those that have ended, without those of `before`.

    By one look at all processes: one that starts the next and dies, again and again, escapes whoever looks slowly.
    """
    children: dict[int, list[psutil.Process]] = collections.defaultdict(list)
    for process in psutil.process_iter(["ppid", "status"]):
        children[process.info["ppid"]].append(process)
    running: set[psutil.Process] = set()
    ended: set[psutil.Process] = set()
    left = [os.getpid()]
    while left:
        for child in children[left.pop()]:
            if child in before:
                continue
            if child.info["status"] == psutil.STATUS_ZOMBIE:
                ended.add(child)
            else:
                running.add(child)
                left.append(child.pid)
    return running, ended


def _copy(stream: IO[bytes], log: Path) -> None:
    """Copy all that the process prints into the file; beyond `MOST_LOG_BYTES`, only the last `LOG_TAIL_BYTES`."""
    room, left_out, tail = MOST_LOG_BYTES, 0, b""
    with _open(log) as output:
        for chunk in _chunks(stream):
            kept, rest = chunk[:room], chunk[room:]
            room -= len(kept)
            left_out += len(rest)
            tail = (tail + rest)[-LOG_TAIL_BYTES:]
            _try_to_write(output, kept)
        if left_out:
            _try_to_write(output, b"\n[%d bytes left out]\n" % (left_out - len(tail)) + tail)


def _open(log: Path) -> IO[bytes]:
    """The file, or one that discards all: a full disk must not stop the process that prints."""
    try:
        return log.open("wb", buffering=0)
    except OSError:
        return open(os.devnull, "wb", buffering=0)


def _try_to_write(output: IO[bytes], chunk: bytes) -> None:
    with contextlib.suppress(OSError):  # as in `_open`
        output.write(chunk)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := os.read(stream.fileno(), 2**16):
        yield chunk


def _system_kills() -> int:
    """How many processes the system's out-of-memory killer has ended; 0 if the system does not say."""
    counts = []
    for file in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError, ValueError):
            pairs = (line.split() for line in Path(file).read_text(encoding="ascii").splitlines())
            counts += [int(value) for name, value in pairs if name == "oom_kill"]
    return sum(counts)
