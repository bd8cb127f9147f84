"""stdin, stdout and stderr of a command, whatever a shell made of them: closed, full, or without a reader."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

from bcdl.text import legible

OUTPUT_LOST = 1  # the exit code of a command whose output can't be written


def prepare() -> None:
    """Open the streams that the process lacks on the null device; escape letters that stdout has no bytes for."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(_open_null(), mode, encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as Python does for stderr


def warn(line: str) -> None:
    """Print the line on stderr, legible. If that takes none, nobody can be told, and the exit code has to do."""
    try:
        print(legible(line), file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def lost(error: OSError) -> int:
    """The exit code of a command whose output can't be written. A reader that stopped reading is told nothing."""
    _drop(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        warn(f"error: the output can't be written ({error.strerror}); make room, or send it to another file")
    return OUTPUT_LOST


def flushed(code: int) -> int:
    """The exit code, after all output was written: that of a failure stays, and success needs its output."""
    try:
        sys.stdout.flush()  # here, since what goes wrong can still be handled
    except OSError as error:
        return code or lost(error)
    return code


def _open_null() -> int:
    """A descriptor of the null device: the lowest that is free, that of the missing stream.

    No file that is opened later gets it then, into which a library would print; and child processes inherit it.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(null, null <= 2)
    return null


def _drop(stream: TextIO) -> None:
    """Send the stream to the null device, so that Python does not fail once more when it flushes at its end."""
    with contextlib.suppress(OSError):  # a stream of a test has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
