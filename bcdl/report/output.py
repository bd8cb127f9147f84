"""Text that a command makes as a whole, for stdout or a file; no file is replaced that is not such a command's own."""

from __future__ import annotations

import os
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.records import disk, git_ignore, log, runs, store
from bcdl.screen import say, say_lines

STDOUT = Path("-")
_MARK = 20  # letters: a file that begins with as many of the new text was written by the same command
# What a results folder keeps under these names is its own.
_OF_RESULTS = {
    *log.LOGS,
    *(store.PAGE, store.PAGES, store.TABLES, store.PLOTS, store.CARDS, store.MANIFEST),
    *(runs.LOCAL, git_ignore.EXPLORE, git_ignore.NAME),
}


def check(out: Path) -> None:
    """UsageError if the file could not take whatever text; to be asked before the text is made, which takes long."""
    if out == STDOUT:
        return
    if out.is_symlink():
        raise UsageError(f"{out} is a link, which would be replaced; name the file itself")
    if out.is_dir():
        raise UsageError(f"{out} is a folder; name a file")
    whole = Path(os.path.realpath(out))
    for folder in whole.parents:
        if _is_results(folder) and whole.relative_to(folder).parts[0] in _OF_RESULTS:
            raise UsageError(f"{out} is where the results folder {folder} keeps what is its own; name another file")


def write(text: str, out: Path) -> None:
    """Print the text, or replace the file by it in one step: no reader sees half of it.

    Raises:
        UsageError: as `check`, or the file holds something that this command did not write.
        OSError: the file can't be written; it is then as it was.
    """
    if out == STDOUT:
        say_lines(text.removesuffix("\n"))
        return
    check(out)
    if not _is_free(out, text.encode()[:_MARK]):
        raise UsageError(f"{out} is there, and this command did not write it; name another file, or remove it")
    disk.replace(out, text.encode())
    say(f"written: {out}")


def _is_free(out: Path, mark: bytes) -> bool:
    """Whether there is no such file, or one that is empty or begins with the mark."""
    try:
        with out.open("rb") as file:
            start = file.read(len(mark))
    except FileNotFoundError:
        return True
    return start in (b"", mark)


def _is_results(folder: Path) -> bool:
    return (folder / log.RECORDS).is_dir() or (folder / store.MANIFEST).is_file()
