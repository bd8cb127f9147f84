"""A process that checks a folder of images as a command does before its first cell.

`python -m bcdl.experiments.workers.check FOLDER PIXELS RESULT` writes into RESULT how long that took, and how much
memory.
"""

from __future__ import annotations

import sys

from bcdl import datasets
from bcdl.datasets import near_duplicates, sources  # noqa: F401 (what is imported counts neither as time nor as memory)
from bcdl.experiments.workers import results
from bcdl.machine.clock import stopwatch
from bcdl.machine.hardware import peak_rss_bytes
from bcdl.worker import parent_death

COMMAND = ("-m", "bcdl.experiments.workers.check")
WHOLE, LOADING, MEMORY = "whole_s", "loading_s", "memory_growth"
_PAGE_BYTES = 4096  # the least by which memory is said to have grown


def main(folder: str, pixels: str, result: str) -> int:
    parent_death.end_with_driver()
    results.write(measure(datasets.Request(folder, int(pixels))), result)
    return 0


def measure(request: datasets.Request) -> dict[str, float]:
    """Seconds to load, split and look for copies, those to load and split, and growth of memory in times the pixels."""
    sources.modules()
    before, elapsed = peak_rss_bytes(), stopwatch()
    dataset = datasets.load(request)
    loading_s = elapsed()
    dataset.leaks()
    whole_s = elapsed()
    pixels = sum(part.images.nbytes for part in dataset.splits.values())
    grown = max(peak_rss_bytes() - before, _PAGE_BYTES)
    return {WHOLE: whole_s, LOADING: loading_s, MEMORY: grown / pixels}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
