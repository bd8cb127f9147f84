"""The faults that are injected, and the page that tells how they were survived."""

from __future__ import annotations

import dataclasses
from pathlib import Path

FAULTS = {
    "driver_killed": "SIGKILL of the driver at a random instant, then the run resumed",
    "mutated_records": "A line of records mutated: flipped bits, other types, huge numbers, nesting, hostile names",
    "mutated_images": "An image file mutated: bytes changed, cut, left out, repeated (PNG, JPEG, TIFF, BMP)",
    "mutated_archives": "An .npz file mutated likewise",
    "wrong_arrays": "An .npz file of other arrays: missing, of other shapes, types or labels",
    "pickles": "An .npz file with a pickle in it, or a pickle by that name",
    "bombs": "A small picture or .npz file that claims gigabytes",
    "paths": "A groups.csv with paths out of the folder",
    "huge_fields": "A groups.csv with a field of megabytes",
    "links": "Links out of the data folder",
    "names": "Names with line ends, bars, tags, links, formulas, control and right-to-left characters",
    "drivers_at_once": "Four drivers at once on one results folder, where a dead run has left a torn line",
    "commands_at_once": "Two commands, `pytest benchmarks`, at once on one results folder",
    "torn_line": "The last line of a file cut at some byte, as a power failure may leave it",
    "full_disk": "A file system of 1 MiB as the results folder, full from the start or after some cells",
    "file_limit": "A limit on the size of files, reached after some cells",
    "full_device": "A device that takes no byte in place of a file of records",
    "read_only": "A results folder that can't be written",
    "ctrl_c": "Ctrl-C in a run: it ends cleanly, and the same command with --resume runs the rest",
    "ctrl_c_twice": "Ctrl-C twice: the run stops at once",
}


@dataclasses.dataclass
class Tally:
    """Times that a fault was injected and survived, and records that had been written and were lost by it."""

    injected: int = 0
    survived: int = 0
    lost: int = 0


def write(file: Path, tallies: dict[str, Tally]) -> None:
    pass
