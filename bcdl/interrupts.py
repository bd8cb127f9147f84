"""What ends a command from outside: Ctrl-C, SIGTERM (`kill`, a scheduler) and SIGHUP (a terminal that is closed).

The first such signal raises `Interrupted` in the main thread, so that workers are ended, temporary files removed and
records kept on the way out. The second ends the process at once. A signal that was ignored from the start, as SIGHUP is
under `nohup`, stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from bcdl.streams import warn

# Those that the system has: Windows has no SIGHUP.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_OUTPUTS = (1, 2)  # descriptors of stdout and stderr
_HELD = b"interrupted: what is finished is kept first; a second signal stops at once\n"


class Interrupted(KeyboardInterrupt):
    """The command was ended by a signal.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(f"by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell gives for a program that the signal ended."""
        return 128 + self.number

    @property
    def words(self) -> str:
        """How the command ended: `interrupted`, and by which signal if that was not Ctrl-C."""
        return "interrupted" if self.number == signal.SIGINT else f"interrupted {self}"


class _Signals:
    """What this process has got of signals."""

    def __init__(self) -> None:
        self.are_handled = False
        self.are_held = False
        self.raised: Interrupted | None = None
        self.waiting: int | None = None
        self.advice = ""

    def handle(self, number: int, frame: FrameType | None) -> None:
        drop_lost_output()
        if self.raised:
            os._exit(128 + number)
        if self.are_held and self.waiting is None:
            self.waiting = number
            with contextlib.suppress(OSError):
                os.write(2, _HELD)  # `print` may be what was interrupted
            return
        self.throw(number)

    def throw(self, number: int) -> None:
        self.raised, self.waiting = Interrupted(number), None
        raise self.raised


_signals = _Signals()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """In this block, entered in the main thread, signals end the process as this module says."""
    if _signals.are_handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    _signals.are_handled, _signals.raised, _signals.waiting, _signals.advice = True, None, None, ""
    try:
        for number in ours:
            signal.signal(number, _signals.handle)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
        _signals.are_handled = False


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A block that a first signal does not cut short: it takes effect when the block ends; a second does at once."""
    if _signals.are_held:
        yield
        return
    with handled():
        _signals.are_held = True
        try:
            yield
        finally:
            _signals.are_held = False
        take_effect()


def take_effect() -> None:
    """Interrupt now, within a block that is `held`, if a signal waits for its end."""
    if _signals.waiting is not None:
        _signals.throw(_signals.waiting)


def latest() -> Interrupted | None:
    """What has interrupted this process; None if nothing has."""
    return _signals.raised


def advise(advice: str) -> None:
    """Have `report` say, too, how a person goes on after this command was interrupted."""
    _signals.advice = advice


def report(interrupt: KeyboardInterrupt) -> int:
    """Say in a line on stderr that the command was interrupted, and how to go on; the exit code."""
    how = interrupt if isinstance(interrupt, Interrupted) else Interrupted()
    advice = f"; {_signals.advice}" if _signals.advice else ""
    drop_lost_output()
    warn(f"{how.words}; every finished cell's record is kept{advice}")
    return how.exit_code


def drop_lost_output() -> None:
    """Have what is printed go nowhere if the terminal was closed, or the reader of a pipe is gone."""
    for descriptor in _OUTPUTS:
        if _is_lost(descriptor):
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _is_lost(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # the system reports these two in any case
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
