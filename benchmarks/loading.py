"""What it takes to load a folder of many small images: `python benchmarks/loading.py --images 20000 --pixels 50`.

Two processes load it one after the other, the first with an empty cache. Each prints its processor time and wall time,
and by how much its memory grew at most, as a multiple of what the pixels take. No test: on a busy machine times vary.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from bcdl.machine.clock import stopwatch
from bcdl.machine.hardware import MIB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="how many; default 20000")
    parser.add_argument("--pixels", type=int, default=50, help="side of an image; default 50")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        _load(arguments.load, arguments.pixels)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw(folder / "data", arguments.images, arguments.pixels)
        variables = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        again = [sys.executable, __file__, "--pixels", str(arguments.pixels), "--load", str(folder / "data")]
        for state in ("cold", "warm"):
            print(f"{state}: ", end="", flush=True)
            subprocess.run(again, env=variables, check=True)
    return 0


def _draw(data: Path, count: int, pixels: int) -> None:
    """Noise, half of it of each class."""
    generator = np.random.default_rng(0)
    for number in range(count):
        kind = data / ("benign", "malignant")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        noise = generator.integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)
        Image.fromarray(noise).save(kind / f"{number:06d}.png")


def _load(data: str, pixels: int) -> None:
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: F401 (what the split imports is no part of it)

    from bcdl import datasets

    before, elapsed = resource.getrusage(resource.RUSAGE_SELF), stopwatch()
    dataset = datasets.load(datasets.Request(data, pixels))
    after = resource.getrusage(resource.RUSAGE_SELF)
    taken = sum(part.images.nbytes for part in dataset.splits.values())
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    grown = 1024 * (after.ru_maxrss - before.ru_maxrss)
    print(
        f"{processor_s:.1f} s of processor time, {elapsed():.1f} s; memory grew by {grown / MIB:.0f} MiB, "
        f"{grown / taken:.2f} times the pixels"
    )


if __name__ == "__main__":
    sys.exit(main())
