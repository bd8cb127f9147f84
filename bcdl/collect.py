"""Join results folders from other machines and people: add what they hold to the results folder.

Records, parity findings and experiments keep the folders of their machines. Each line is checked as one that is read
from anywhere, and counts once, however often it comes. Two different ones that claim to be the same are both left out.
The folders that are named stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.parity import findings
from bcdl.records import archive, disk, log, other_folder, runs, store
from bcdl.records.archive import Contents, Unpacked
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.options import RESULTS


def main() -> int:
    parser = Parser("collect", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="results folder that is added")
    RESULTS.add(parser.add_argument)
    arguments = parser.parse_args()
    results, folders = Path(arguments.results), arguments.folders
    sources = [_read(folder, results) for folder in folders]
    store.check_writable(results)
    for notice in log.repair(results):
        say(f"note: {notice}")
    outcomes = archive.add_all(sources, results, findings.READERS)
    for folder, contents, outcome in zip(folders, sources, outcomes, strict=True):
        for line in [*outcome.told(folder, results), *_copy_printed(folder, contents, results)]:
            say(line)
    return _conclude(outcomes, results)


def _read(folder: Path, results: Path) -> Contents:
    """What the folder holds, before anything is added; UsageError if it is the one that is added to."""
    if os.path.realpath(folder) == os.path.realpath(results):
        raise UsageError(f"{folder} is the results folder itself; name others, or another one with --results")
    return other_folder.read(folder)


def _copy_printed(folder: Path, contents: Contents, results: Path) -> list[str]:
    """Copy what workers of the folder's runs printed, beside that of runs here; no file is replaced. Lines for people.

    No record depends on it: what has no room, or is long, stays where it is.
    """
    copied = left = 0
    for run in dict.fromkeys(place.run for place in contents.logs):
        target = runs.folder_of(results, run)
        for name, content in other_folder.printed(folder, run).items():
            if os.path.lexists(target / name):
                continue
            is_copied = content is not None and _copy(content, target / name, results)
            copied, left = copied + is_copied, left + (not is_copied)
    lines = [f"{folder}: what {copied} workers printed was copied to {results / runs.RUNS}"] if copied else []
    return lines + ([f"note: what {left} workers printed stays in {folder}: long, a link, or no room"] if left else [])


def _copy(content: bytes, file: Path, results: Path) -> bool:
    """Write the file of a run under the results folder; whether that was possible without following a link."""
    if disk.leads_through_a_link(file.parent, results):
        return False
    try:
        disk.replace(file, content)
    except OSError:
        return False
    return True


def _conclude(outcomes: Sequence[Unpacked], results: Path) -> int:
    """Say how to see what was added; the exit code. BcdlError if lines were left out."""
    if any(outcome.added for outcome in outcomes):
        say(f"bcdl report --results {results} makes tables and plots of all")
    if left_out := sum(len(outcome.left_out) for outcome in outcomes):
        raise BcdlError(f"{left_out} lines were left out, since they can't be trusted; the notes above say why")
    return 0


if __name__ == "__main__":
    run_command(main)
