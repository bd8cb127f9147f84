"""Errors that a person is meant to read, and how a command ends: with a message and an exit code, never a traceback.

Each error says in a line what is wrong, with which value, and what to do next.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType

from bcdl import interrupts, streams
from bcdl.text import legible, on_one_line

DEBUG = "BCDL_DEBUG"  # the variable that asks for tracebacks
# What a disk, a device or a terminal says that takes no more of what is printed.
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EIO, errno.EFBIG, errno.EBADF}
_LONGEST_PATH, _LONGEST_REASON = 400, 300  # letters of a line


class BcdlError(Exception):
    """A run that was asked for properly failed (exit code 1).

    Attributes:
        details: lines that follow the error's own, for an error that has a list to show.
    """

    exit_code = 1

    def __init__(self, message: str, details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class UsageError(BcdlError):
    """What was asked for can't be run: a wrong option, name, folder or file (exit code 2)."""

    exit_code = 2


def run_command(main: Callable[[], int]) -> None:
    """Run a command's `main` and leave the process with its exit code.

    Whatever goes wrong becomes a line on stderr: a BcdlError its message, and so a path or a disk that the system
    refuses, memory that ran out, and a fault of bcdl's own; Ctrl-C, SIGTERM and SIGHUP become
    130, 143 and 129. A reader that stops reading (`bcdl report | head`) ends the command without a word, as it ends any
    Unix tool.
    """
    streams.prepare()
    sys.exit(streams.flushed(_code_of(main)))


def _code_of(main: Callable[[], int]) -> int:
    """The exit code of a command's `main`; what goes wrong in it is printed."""
    try:
        with interrupts.handled():
            return main()
    except SystemExit as end:  # of argparse, after --help
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt as interrupt:
        return interrupts.report(interrupt)
    except BrokenPipeError as error:
        return streams.lost(error)
    except Exception as error:
        if debugging():
            traceback.print_exc()
        return _report(error)


def _report(error: Exception) -> int:
    """Say in a line what went wrong; the exit code."""
    if isinstance(error, BcdlError):
        for line in (f"error: {error}", *error.details):
            streams.warn(line)
        return error.exit_code
    if isinstance(error, OSError):
        return _report_refusal(error)
    if isinstance(error, MemoryError):
        streams.warn("error: memory ran out; ask for less at once, or use a machine that has more")
    else:
        what = on_one_line(error, _LONGEST_REASON, with_kind=True)
        streams.warn(f"error: unexpected {what}; this is a fault of bcdl: report it, with what {DEBUG}=1 shows")
    return BcdlError.exit_code


def handle_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of `sys.excepthook`: Ctrl-C ends a command that still imports its modules as it ends any other."""
    if isinstance(error, KeyboardInterrupt):
        os._exit(interrupts.report(error))  # Python's own end would be by the signal
    sys.__excepthook__(kind, error, trace)


def _report_refusal(error: OSError) -> int:
    """Say what the system refused; the exit code."""
    reason = on_one_line(error.strerror or error, _LONGEST_REASON)
    if error.filename is not None:
        path = legible(str(error.filename), _LONGEST_PATH)
        streams.warn(f"error: {path}: {reason}; name another path, or see to its permissions and its disk")
        return UsageError.exit_code
    if error.errno in _FULL:
        return streams.lost(error)
    streams.warn(f"error: the system refused what was needed ({reason}); end other programs, or raise its limits")
    return BcdlError.exit_code


def debugging() -> bool:
    """Whether the traceback of a failure is shown beside its line: `BCDL_DEBUG` is set, to something else than 0."""
    return os.environ.get(DEBUG, "0") not in ("", "0")
