"""Keeps git from what a results folder holds for this machine alone: logs, status files, pictures of a data set.

Nor is the page to explore for git, which whoever has the records can make.
"""

from __future__ import annotations

from pathlib import Path

from bcdl.records import disk, runs

NAME = ".gitignore"
EXPLORE = "index.html"  # the page to explore
MARK = "# written by bcdl: what lies here is of this machine alone, and is not to be committed"
_IN_RESULTS = f"{MARK}\n/{runs.LOCAL}/\n/{EXPLORE}\n"
_IN_LOCAL = f"{MARK}\n*\n"


def write(results: Path) -> None:
    """Write the `.gitignore` of a results folder, and a second one in `local/`, which counts beside a user's own.

    A file that is there and does not carry our mark is left as it is. UsageError if they can't be written.
    """
    with disk.writing(results):
        for file, content in ((results / NAME, _IN_RESULTS), (results / runs.LOCAL / NAME, _IN_LOCAL)):
            if _is_to_be_written(file, content.encode()):
                disk.replace(file, content.encode())


def _is_to_be_written(file: Path, content: bytes) -> bool:
    """Whether the file is missing, or is ours and older; not if it is a link, a folder or somebody's."""
    if file.is_symlink() or (file.exists() and not file.is_file()):
        return False
    there = file.read_bytes() if file.exists() else MARK.encode()
    return there.startswith(MARK.encode()) and there.replace(b"\r\n", b"\n") != content
