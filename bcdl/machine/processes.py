"""Which process this is, in a form from which any host can judge later whether it is one of its own and still lives."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import socket
import sys
from pathlib import Path

import psutil

_DIGEST_LETTERS = 16
_MACHINE_ID = Path("/etc/machine-id")  # machine-id(5)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)
_PID_NAMESPACE = Path("/proc/self/ns/pid")  # pid_namespaces(7)


@dataclasses.dataclass(frozen=True)
class Process:
    """A process, wherever it ran.

    Attributes:
        host: digest of the host's name and, if it has one, of its machine id.
        boot: digest of what one process id is good for: this start of the host, and the container, if it is in one;
            empty if the system does not say.
        pid: its process id.
        started: when it started, as its system counts.
    """

    host: str
    boot: str
    pid: int
    started: str

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this host."""
        return self.host == host()

    def lives(self) -> bool | None:
        """Whether it lives; None if that can't be looked up, since it is none of this start of this host."""
        if not self.is_here or self.boot != boot():
            return None
        started = _started(self.pid)
        if started is None:  # it is gone, or this user may not see it
            return None if psutil.pid_exists(self.pid) else False
        return started == self.started


def this() -> Process:
    """The process that calls."""
    return Process(host(), boot(), os.getpid(), _started(os.getpid()) or "")


@functools.cache
def host() -> str:
    """As `Process.host`, of this host."""
    # Hosts that have no machine id may share a name, such as localhost: then only one start of a host is one host.
    return _digest(socket.gethostname(), _text(_MACHINE_ID) or _text(_BOOT_ID))


@functools.cache
def boot() -> str:
    """As `Process.boot`, of this host."""
    if not (boot_id := _text(_BOOT_ID)):
        return ""
    return _digest(boot_id, os.readlink(_PID_NAMESPACE) if _PID_NAMESPACE.exists() else "")


def _started(pid: int) -> str | None:
    """When the process started, as the system counts; None if it has ended or can't be seen."""
    try:
        if sys.platform != "linux":
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
        # Ticks since the host started, which no change of the time of day moves; proc(5), fields 3 and 22.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, psutil.Error, IndexError):
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _digest(*facts: str) -> str:
    return hashlib.sha256("\n".join(facts).encode("utf-8", "backslashreplace")).hexdigest()[:_DIGEST_LETTERS]
