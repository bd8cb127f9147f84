"""Claims: files that say which process holds a run or a lock, for all hosts that see the folder.

No lock of a file system is used, since network and synced disks may lack it, or pretend to have it. A claim is a file
that one process can create and no other after it (`O_EXCL`). It names the process, and it is written anew every few
seconds, which moves the time of its last change: a sign of life. Whether a holder lives is looked up if it is a process
of this host; if not, its last sign of life must be recent. Its age is judged by the clock of the disk that holds the
file, never by that of a host, since clocks of hosts may be hours apart. If nothing can be judged, as on a synced disk
whose times are those of another host, the holder is not known to live.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from bcdl.errors import BcdlError
from bcdl.machine import processes
from bcdl.machine.processes import Process
from bcdl.records import disk

BEAT_S = 5.0  # seconds between two signs of life
# Seconds without one after which a process of another host is not known to live: a busy server, or a host that is short
# of memory, may delay some of them.
SILENT_S = 120.0
# Seconds without one after which what a process of another host has left may be removed.
FORGOTTEN_S = 24 * 3600.0
_READ, _NEW = os.O_RDONLY | getattr(os, "O_BINARY", 0), os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
_MOST_BYTES = 4096


class BusyError(BcdlError):
    """Another process that lives is at work there, or has taken over; the message says where.

    Whoever catches it says what was not done, and what to do.
    """


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who holds a claim, or held it.

    Attributes:
        token: what tells this claim from any other.
        here: whether it is a process of this host.
        alive: whether it is known to live and has not given the claim back.
        ended: whether it has given the claim back.
        silent_s: seconds since its last sign of life; None if that can't be judged. Negative if the file's time is not
            that of the disk.
    """

    token: str
    here: bool
    alive: bool
    ended: bool
    silent_s: float | None

    @property
    def is_forgotten(self) -> bool:
        """Whether what it left may be removed: it has ended, or it is of another host and silent for a day."""
        return not self.alive and (self.here or (self.silent_s or 0.0) >= FORGOTTEN_S)


class Claim:
    """A claim of this process, which lasts until it is given back or this process ends, however it ends.

    Args:
        file: created; its folder must be there.
        stays: whether the file stays when the claim is given back, and says then that it was.

    Raises:
        FileExistsError: the file is there.
        OSError: it can't be written.
    """

    def __init__(self, file: Path, stays: bool = False) -> None:
        self.file, self._token = file, secrets.token_hex(8)
        lasting, ended = (_content(self._token, ended) for ended in (False, True))
        self._give_back = weakref.finalize(self, _Heart(file, lasting).stop, ended if stays else None)

    @property
    def is_held(self) -> bool:
        """Whether the file is still this claim, and no other host took it for one of a dead process."""
        return _values(self.file).get("token") == self._token

    def check(self) -> None:
        """Raise BusyError if the claim is not held any more."""
        if not self.is_held:
            raise BusyError(
                f"another host took this process, which was stopped for long, for dead, and holds {self.file}"
            )

    def give_back(self) -> None:
        """End the claim; once is enough."""
        self._give_back()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()


class _Heart:
    """The open file of a claim, in which signs of life are given. It holds no `Claim`, so that one can be freed."""

    def __init__(self, file: Path, content: bytes) -> None:
        self._file, self._content, self._pid = file, content, os.getpid()
        self._descriptor = os.open(file, _NEW, 0o666)
        try:
            disk.write_whole(self._descriptor, content)
        except OSError:
            os.close(self._descriptor)
            file.unlink(missing_ok=True)
            raise
        _HEARTS.add(self)

    def beat(self) -> None:
        self._write(self._content)

    def stop(self, last_words: bytes | None) -> None:
        """Give no more signs; the file is removed, or says the last words."""
        if os.getpid() != self._pid:  # the claim is that of the process which this one was forked from
            return
        with _HEARTS.lock:
            _HEARTS.remove(self)
            if last_words is not None:
                self._write(last_words)
            os.close(self._descriptor)
        if last_words is None:
            with contextlib.suppress(OSError):
                if _values(self._file) == json.loads(self._content):
                    self._file.unlink()

    def _write(self, content: bytes) -> None:
        """Write all of the file anew, by its descriptor: if another host has put its own in this place, that stays."""
        with contextlib.suppress(OSError):  # a sign of life that fails may be followed by another
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            disk.write_whole(self._descriptor, content)


class _Hearts:
    """All hearts of this process, and the thread in which they beat."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin without any heart: in a process that was forked, too, where no thread beats and none is its own."""
        # Another thread may close a heart's file; then no sign may be written, by its number, into the next one opened.
        self.lock = threading.RLock()
        self._beating: set[_Heart] = set()
        self._thread: threading.Thread | None = None

    def add(self, heart: _Heart) -> None:
        with self.lock:
            self._beating.add(heart)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, daemon=True)
                self._thread.start()

    def remove(self, heart: _Heart) -> None:
        self._beating.discard(heart)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            with self.lock:
                for heart in list(self._beating):
                    heart.beat()


_HEARTS = _Hearts()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_HEARTS.begin)


def is_mine(file: Path) -> bool:
    """Whether this process made the claim and has not given it back."""
    values = _values(file)
    return _process(values) == processes.this() and not values.get("ended")


def holder(file: Path) -> Holder | None:
    """Who holds the claim that the file is, or held it; None if there is no file.

    A file that names no process may be one that is being written: its holder counts as one of another host.
    """
    values = _values(file)
    if not values and not file.exists():
        return None
    process, ended = _process(values), values.get("ended") is True
    silent_s = disk.age_s(file)
    lives = process.lives() if process else None
    if lives is None:
        lives = silent_s is not None and abs(silent_s) <= SILENT_S
    here = process is not None and process.is_here
    return Holder(str(values.get("token", "")), here, lives and not ended, ended, silent_s)


def take_away(file: Path, dead: Holder) -> None:
    """Remove the claim of a dead holder; what another process has put there meanwhile stays."""
    aside = file.with_name(disk.new_part())
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        file.replace(aside)
        if str(_values(aside).get("token", "")) != dead.token:
            _put_back(aside, file)
        aside.unlink(missing_ok=True)


def _put_back(aside: Path, file: Path) -> None:
    """Give a file its name back, unless there is another by now."""
    try:
        os.link(aside, file)
    except FileExistsError:
        pass
    except OSError:  # a disk without links
        if not file.exists():
            aside.replace(file)


def _content(token: str, ended: bool) -> bytes:
    """What a claim's file holds: of one length, ended or not, so that it can be written over itself."""
    values = {**dataclasses.asdict(processes.this()), "token": token, "ended": ended}
    return json.dumps(values).ljust(256).encode() + b"\n"


def _values(file: Path) -> dict[str, Any]:
    """What the file says; empty if it can't be read or is no claim."""
    try:
        descriptor = os.open(file, _READ | getattr(os, "O_NONBLOCK", 0))
        try:
            values = json.loads(os.read(descriptor, _MOST_BYTES))
        finally:
            os.close(descriptor)
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _process(values: dict[str, Any]) -> Process | None:
    """The process that a claim names; None if it names none."""
    host, boot, started = (values.get(name) for name in ("host", "boot", "started"))
    if not (isinstance(host, str) and isinstance(boot, str) and isinstance(started, str)):
        return None
    pid = values.get("pid")
    return Process(host, boot, pid, started) if type(pid) is int and 0 < pid < 2**31 else None
