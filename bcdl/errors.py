"""Errors that a person is meant to read, and how a command ends: with a message and an exit code, never a traceback.

Each error says in a line what is wrong, with which value, and what to do next.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from types import TracebackType

from bcdl import interrupts
from bcdl.screen import warn

# Exit code of every command, besides 0, those of the two errors below, and that of an interrupt.
OUTPUT_LOST = 1
DEBUG = "BCDL_DEBUG"  # the variable that asks for tracebacks
# What the system refuses for the path or the disk that it was given; of anything else a traceback says more.
_REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    getattr(errno, "EDQUOT", errno.ENOSPC),  # Windows has none
    errno.EROFS,
    errno.EIO,
    errno.EFBIG,
}


class BcdlError(Exception):
    """A run that was asked for properly failed (exit code 1).

    Its first argument is the message, of one line; if there are others, they are lines that list what it counts.
    """

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class UsageError(BcdlError):
    """What was asked for can't be run: a wrong option, name, folder or file (exit code 2)."""

    exit_code = 2


def run_command(main: Callable[[], int]) -> None:
    """Run a command's `main` and leave the process with its exit code.

    A BcdlError becomes its message, and so does a path or a disk that the system refuses; Ctrl-C, SIGTERM and SIGHUP
    become 130, 143 and 129. A reader
    that stops reading (`bcdl report | head`) ends the command without a word, as it ends any Unix tool. A character
    that stdout has no bytes for is escaped. argparse leaves by itself, with 0 after --help and 2 otherwise.
    """
    if sys.stdout is None:  # a process that has none; Keras, for one, writes all the same
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as Python does for stderr
    try:
        try:
            with interrupts.handled():
                code = main()
        finally:
            sys.stdout.flush()  # here, since what goes wrong can still be handled
    except BcdlError as error:
        for line in (f"error: {next(iter(error.args), '')}", *error.args[1:]):
            warn(str(line))
        code = error.exit_code
    except KeyboardInterrupt as interrupt:
        code = interrupts.report(interrupt)
    except BrokenPipeError:
        _drop_output()
        code = OUTPUT_LOST
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        code = _report_refusal(error)
    sys.exit(code)


def handle_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of `sys.excepthook`: Ctrl-C ends a command that still imports its modules as it ends any other."""
    if isinstance(error, KeyboardInterrupt):
        os._exit(interrupts.report(error))  # Python's own end would be by the signal
    sys.__excepthook__(kind, error, trace)


def _report_refusal(error: OSError) -> int:
    """Say what the system refused; the exit code."""
    if error.filename is None:
        _drop_output()
        warn(f"error: the output can't be written ({error.strerror}); make room, or send it to another file")
        return OUTPUT_LOST
    warn(f"error: {error.filename}: {error.strerror}; name another path, or see to its permissions and its disk")
    return UsageError.exit_code


def debugging() -> bool:
    """Whether the traceback of a failure is shown beside its line: `BCDL_DEBUG` is set, to something else than 0."""
    return os.environ.get(DEBUG, "0") not in ("", "0")


def program(command: str) -> str:
    """How the command was called, for its usage line: `bcdl train`, or `python -m bcdl.train`."""
    return sys.argv[0] if sys.argv[0] == f"bcdl {command}" else f"python -m bcdl.{command}"


def _drop_output() -> None:
    """Send stdout to the null device, so that Python does not fail once more when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
