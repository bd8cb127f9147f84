"""Ends a worker when its driver ends, even if the driver is killed by SIGKILL and can't end the worker itself."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading

_STDIN = 0


def end_with_driver() -> None:
    """End this process, and its group if it leads one, once the other end of stdin is gone.

    The driver holds that end and never writes. On Linux the system itself sends the signal when the pipe hangs up
    (fcntl(2), F_SETSIG and O_ASYNC), so that a worker stuck in a framework's own code ends, too. Elsewhere a thread
    waits. Without a pipe at stdin, as when a person starts a worker by hand, nothing is done.
    """
    if not stat.S_ISFIFO(os.fstat(_STDIN).st_mode):
        return
    if sys.platform == "linux":
        _let_the_system_signal()
    else:
        threading.Thread(target=_wait_and_end, daemon=True).start()


def _let_the_system_signal() -> None:
    import fcntl  # only on Unix

    fcntl.fcntl(_STDIN, fcntl.F_SETOWN, _target())
    fcntl.fcntl(_STDIN, fcntl.F_SETSIG, signal.SIGKILL)  # type: ignore[attr-defined,unused-ignore]
    fcntl.fcntl(_STDIN, fcntl.F_SETFL, fcntl.fcntl(_STDIN, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(_STDIN, select.POLLHUP)
    if poll.poll(0):  # the driver was gone before the signal was asked for
        _end()


def _wait_and_end() -> None:
    while os.read(_STDIN, 1):
        pass
    _end()


def _target() -> int:
    """The group of this process, as kill(2) and fcntl(2) name groups, or the process, if another leads the group."""
    return -os.getpgrp() if os.getpgrp() == os.getpid() else os.getpid()


def _end() -> None:
    os.kill(_target(), signal.SIGKILL)
