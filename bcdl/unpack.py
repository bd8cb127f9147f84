"""Add the records that a sprint brought home to a results folder. What is there already stays as it is."""

from __future__ import annotations

from pathlib import Path

from bcdl.errors import UsageError, run_command
from bcdl.parity import findings
from bcdl.records import archive, log, store
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.settings.options import DEFAULT_RESULTS


def main() -> int:
    parser = Parser("unpack", __doc__)
    parser.add_argument("archive", nargs="+", type=Path, help="results.tar.gz, as run.sh or bcdl sprint made it")
    parser.add_argument("--results", default=DEFAULT_RESULTS, help=f"folder of records; default {DEFAULT_RESULTS}")
    arguments = parser.parse_args()
    results = Path(arguments.results)
    contents = _read_all(arguments.archive)
    store.check_writable(results)
    for notice in log.repair(results):
        say(f"note: {notice}")
    for file, content in contents.items():
        for line in archive.add(content, results, findings.READERS).told(file, results):
            say(line)
    return 0


def _read_all(files: list[Path]) -> dict[Path, archive.Contents]:
    """What each archive holds; UsageError, before anything is added, if one is missing or not whole."""
    for file in files:
        if not file.is_file():
            raise UsageError(f"{file} is no file; name the results.tar.gz that came home")
    return {file: archive.read(file) for file in files}


if __name__ == "__main__":
    run_command(main)
