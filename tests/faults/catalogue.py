"""The faults that are injected, and the page that tells how they were survived."""

from __future__ import annotations

import dataclasses
from pathlib import Path

FAULTS = {
    "driver_killed": "SIGKILL of the driver at a random instant, then the run resumed",
    "mutated_records": "A line of records mutated: flipped bits, other types, huge numbers, nesting, hostile names",
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
