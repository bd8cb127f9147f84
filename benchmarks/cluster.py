"""What it costs to hand cells to a cluster: stand-in cells on a SLURM of two nodes, which this starts on this machine.

    python -m benchmarks.cluster measure --cells 900                     # one array
    python -m benchmarks.cluster measure --cells 2500 --array 1250       # two arrays
    python -m benchmarks.cluster write                                   # docs/cluster.md, from what was measured

Each measurement adds a line to benchmarks/cluster.jsonl, and the table of docs/cluster.md is made of these lines. A
stand-in cell takes no time of its own, so that all that a node spends on it is what handing it over costs: to start the
script, a Python and a worker, to check the job and to store the record. The driver is measured from its start until the
last record is there, and again with its report.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from bcdl import __version__, backends, submit
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.machine import clock, hardware, identity, provenance
from bcdl.records import store
from bcdl.records.moment import now
from bcdl.runner import launch
from bcdl.runner.cluster import submission
from bcdl.runner.cluster.follow import Following
from bcdl.screen import say
from benchmarks import two_nodes

if TYPE_CHECKING:
    from bcdl.report.tables import Table

_MEASURED = Path(__file__).with_suffix(".jsonl")
_DOCUMENT = provenance.ROOT / "docs" / "cluster.md"
_BEGIN, _END = "<!-- figures, by python -m benchmarks.cluster write -->", "<!-- end of figures -->"
_STUDY = """
data = "synthetic-48"
device = "cpu"
profile = "smoke"
image-size = 32
timing = false

[[matrix]]
backends = ["{backend}"]
models = ["cnn"]
seed = {seeds}
"""


def main() -> int:
    arguments = _parse()
    if arguments.step == "drive":
        return drive(arguments.folder)
    if arguments.step == "measure":
        line = json.dumps(dataclasses.asdict(measure(arguments.cells, arguments.array)))
        with _MEASURED.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        say(line)
    else:
        _DOCUMENT.write_text(with_figures(_DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("measure", "write", "drive"))
    parser.add_argument("folder", type=Path, nargs="?", help="of the driver, which this starts itself")
    parser.add_argument("--cells", type=int, default=900, help="stand-in cells")
    parser.add_argument("--array", type=int, default=1001, help="how many tasks an array may have")
    return parser.parse_args()


@dataclasses.dataclass(frozen=True)
class Measured:
    """What handing over so many cells cost.

    Attributes:
        cells, arrays, nodes: how many cells, in how many arrays, on how many nodes, each of which ran one at a time.
        records: how many records there were at the end, one a cell if all went well.
        wall_s: from the driver's start until the last record was there.
        driver_cpu_s: processor time of the driver until then.
        driver_mib: its peak resident memory until then.
        report_mib: the same at the end, with its report.
        machine: the machine, in words.
        measured: when it was.
        commit: of the code that ran, with `*` if there were changes.
        version: of bcdl.
    """

    cells: int
    arrays: int
    nodes: int
    records: int
    wall_s: float
    driver_cpu_s: float
    driver_mib: float
    report_mib: float
    machine: str
    measured: str
    commit: str
    version: str

    @property
    def cell_s(self) -> float:
        """Seconds that a node spends on a cell which takes none itself."""
        return self.wall_s * self.nodes / self.cells


def measure(cells: int, most_tasks: int) -> Measured:
    """Hand over so many stand-in cells, in arrays of so many at most; BcdlError if a record is missing."""
    with two_nodes.running(most_tasks), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # No framework need be installed: its cells are stand-ins.
        study = _STUDY.format(backend=backends.NAMES[0], seeds=list(range(cells)))
        (folder / "study.toml").write_text(study)
        command = [sys.executable, "-m", "benchmarks.cluster", "drive", str(folder)]
        subprocess.run(command, cwd=provenance.ROOT, check=True, env=_variables())
        driver = json.loads((folder / "driver.json").read_text())
        records, problems = store.read_all(folder / "results")
        (submitted,) = submission.all_of(folder / "results")
        arrays = len(submitted.arrays())
    if problems or len({record.cell for _, record in records}) != cells:
        raise BcdlError(
            f"{len(records)} records of {cells} cells, {len(problems)} problems: see to the driver's output"
        )
    return Measured(
        cells=cells,
        arrays=arrays,
        nodes=len(two_nodes.NODES),
        records=len(records),
        **driver,
        machine=identity.in_words(hardware.identity("cpu")) or "unknown",
        measured=now(),
        commit=provenance.short_commit(provenance.commit()),
        version=__version__,
    )


def _variables() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(provenance.ROOT)}


def drive(folder: Path) -> int:
    """`bcdl submit --slurm --wait` of the study in the folder, whose cells are stand-ins; writes what it cost there."""
    wall_s, cost = clock.stopwatch(), dict[str, float]()
    until_done = Following.until_done

    def follow(following: Following) -> None:
        until_done(following)
        cost.update(wall_s=wall_s(), driver_cpu_s=clock.processor_s(), driver_mib=_peak_mib())

    words = ["--slurm", "--wait", str(folder / "study.toml"), "--results", str(folder / "results")]
    with (
        mock.patch.object(Following, "until_done", follow),
        mock.patch.object(launch, "WORKER", ("-m", "benchmarks.empty_worker")),
        mock.patch.object(backends, "is_installed", return_value=True),
        mock.patch.object(sys, "argv", ["bcdl submit", *words]),
    ):
        code = submit.main()
    (folder / "driver.json").write_text(json.dumps({**cost, "report_mib": _peak_mib()}))
    return code


def _peak_mib() -> float:
    return hardware.peak_rss_bytes() / hardware.MIB


def read(file: Path = _MEASURED) -> list[Measured]:
    """The newest measurement of each number of cells and arrays, those of fewer cells first."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    newest = {(made.cells, made.arrays): made for made in (Measured(**json.loads(line)) for line in lines)}
    return [newest[size] for size in sorted(newest)]


def table(measured: Sequence[Measured]) -> Table:
    """What it cost, a row for each number of cells."""
    # Here, so that the driver has no report in its memory while it is measured.
    from bcdl.report.tables import Table, count, figures, word, words

    columns = (
        *map(figures, ("cells", "arrays", "records", "a node's time a cell", "driver's processor time a cell")),
        *map(figures, ("driver's memory", "with its report")),
        *map(words, ("machine", "commit")),
    )
    rows = tuple(
        (
            *map(count, (each.cells, each.arrays, each.records)),
            word(f"{each.cell_s:.2f} s"),
            word(f"{1000 * each.driver_cpu_s / each.cells:.0f} ms"),
            *(word(f"{mib:.0f} MiB") for mib in (each.driver_mib, each.report_mib)),
            word(each.machine),
            word(each.commit),
        )
        for each in measured
    )
    return Table(f"Cells that take no time themselves, on {measured[0].nodes} nodes of one host", columns, rows)


def with_figures(text: str) -> str:
    """The document's text with the table of what was measured; UsageError if it lacks the comments around that."""
    parts = re.fullmatch(f"(.*{_BEGIN}\n).*(\n{_END}.*)", text, re.DOTALL)
    if not parts:
        raise UsageError(f"{_DOCUMENT.name} lacks the lines {_BEGIN!r} and {_END!r}; put them around the table")
    if not (measured := read()):
        raise UsageError("nothing was measured; python -m benchmarks.cluster measure --cells 900 does")
    return f"{parts[1]}{table(measured).to_markdown()}{parts[2]}"


if __name__ == "__main__":
    run_command(main)
