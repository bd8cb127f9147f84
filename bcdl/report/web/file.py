"""Writes `index.html` beside the page of the report, if the packages that it takes are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bcdl.records import disk
from bcdl.records.git_ignore import EXPLORE
from bcdl.report.sources import Sources

_PACKAGES = ("altair", "itables", "vl_convert")  # of the extra `report`
INSTALL = "pip install 'bcdl[report]', or -e '.[report]' in a checkout"


def write(results: Path, sources: Sources) -> list[str]:
    """Write the page to explore; lines that say that it was not made, or what it lacks. UsageError if the disk fails.

    It is not in the manifest of the report, which is committed: whoever has the records can make it.
    """
    if not all(map(importlib.util.find_spec, _PACKAGES)):
        return [f"{EXPLORE}, the page to explore, was not made: it takes {INSTALL}"]
    from bcdl.report.web import data, page  # here: the packages need not be there, and take seconds to import

    file = results / EXPLORE
    if file.exists() and not _is_ours(file, page.MARK):
        return [
            f"{EXPLORE}, the page to explore, was not made: a file or folder of that name is there that is not of bcdl"
        ]
    content, left_out = page.build(data.read(sources))
    with disk.writing(results):
        disk.replace(file, content)
    return [f"{EXPLORE}: {left_out} rows are left out, so that it stays small"] if left_out else []


def _is_ours(file: Path, mark: str) -> bool:
    if not file.is_file() or file.is_symlink():
        return False
    with file.open("rb") as content:
        return content.read(2 * len(mark)).replace(b"\r\n", b"\n").startswith(mark.encode())
