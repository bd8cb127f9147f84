"""What the leak search of many small images takes: `python benchmarks/leak_search.py --images 50000 --pixels 50`.

Two processes check the data as a command does before its first cell: they load it, split it and look for copies, the
first with an empty cache. Each prints the seconds of both. The images are noise and, of every tenth, a brighter copy;
`--data FOLDER` takes others. No test: on a busy machine times vary.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from bcdl.machine.clock import stopwatch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000, help="how many; default 50000")
    parser.add_argument("--pixels", type=int, default=50, help="side of an image; default 50")
    parser.add_argument("--data", help="a folder of class folders, instead of noise")
    parser.add_argument("--search", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.search:
        _search(arguments.search, arguments.pixels)
        return 0
    with tempfile.TemporaryDirectory() as name:
        data = arguments.data or str(_draw(Path(name) / "data", arguments.images, arguments.pixels))
        variables = {**os.environ, "XDG_CACHE_HOME": str(Path(name) / "cache")}
        again = [sys.executable, __file__, "--pixels", str(arguments.pixels), "--search", data]
        for state in ("cold", "warm"):
            print(f"{state}: ", end="", flush=True)
            subprocess.run(again, env=variables, check=True)
    return 0


def _draw(data: Path, count: int, pixels: int) -> Path:
    generator = np.random.default_rng(0)
    noise = np.zeros((pixels, pixels, 3), np.uint8)
    for number in range(count):
        folder = data / ("benign", "malignant")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        if number % 10:
            noise = generator.integers(0, 240, (pixels, pixels, 3), dtype=np.uint8)
        Image.fromarray(noise if number % 10 else noise + 15).save(folder / f"{number:06d}.png")
    return data


def _search(data: str, pixels: int) -> None:
    from bcdl import datasets

    elapsed = stopwatch()
    dataset = datasets.load(datasets.Request(data, pixels))
    loaded = elapsed()
    leaks = dataset.leaks()
    print(
        f"{elapsed():.1f} s, of which {loaded:.1f} s to load and split {leaks.duplicates.images} images; "
        f"{len(leaks.duplicates.clusters)} lists of copies"
    )


if __name__ == "__main__":
    sys.exit(main())
