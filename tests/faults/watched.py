"""What a command may not do as it reads a hostile file: run a program, ask the network, load a pickle, write elsewhere.

Python's own audit events tell it, of whatever library. What C code does by itself they do not see: the tests compare
the files, too.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_SECONDS = 20  # a file, on a machine that has other work; most take some hundredths
MOST_BYTES = 500 * 2**20  # by which the process may grow
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_NEVER = (*_PROGRAMS, "socket.connect", "pickle.find_class")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_COMPILED = "__pycache__"  # into which Python writes what it compiles of a module that is imported for the first time
_deeds: list[str] | None = None
_allowed: tuple[str, ...] = ()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _deeds is None:
        return
    if event in _NEVER:
        _deeds.append(f"{event} {arguments!r}"[:200])
    elif event == "open" and isinstance(arguments[0], (str, bytes)) and (arguments[2] or 0) & _WRITING:
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith(_allowed) and os.path.basename(os.path.dirname(path)) != _COMPILED:
            _deeds.append(f"writes {path}")


@contextlib.contextmanager
def watched(*writable: Path) -> Iterator[list[str]]:
    """What this process does in the block that it may not; it may write into the folders that are given."""
    global _deeds, _allowed
    if _hook not in _hooks:
        sys.addaudithook(_hook)  # for good: it can't be removed
        _hooks.append(_hook)
    _deeds, _allowed = [], tuple(str(folder.resolve()) for folder in (*writable, Path(os.devnull)))
    start, before = time.monotonic(), _peak()
    try:
        yield _deeds
        if (seconds := time.monotonic() - start) > MOST_SECONDS:
            _deeds.append(f"took {seconds:.0f} s")
        if (grown := _peak() - before) > MOST_BYTES:
            _deeds.append(f"took {grown / 2**20:.0f} MiB")
    finally:
        _deeds = None


_hooks: list[Any] = []


def _peak() -> int:
    """The most memory that this process has ever taken, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
