"""What a persistent compilation cache saves of the first step: `python -m benchmarks.experiment_cache --backend jax`.

In every round the model is built twice and takes its first step: with an empty cache, then, everything compiled having
been forgotten, with the cache that the first has filled. Backends without such a cache refuse.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Way

if TYPE_CHECKING:
    from bcdl.worker.prepared import Prepared

NAME = "A persistent compilation cache, first step"


def main() -> int:
    return engine.main(__doc__ or "", "experiment_cache", NAME, _ways, unit="s")


def _ways(prepared: Prepared) -> dict[str, Way]:
    return {"cold": lambda: _cold_and_warm(prepared)}


def _cold_and_warm(prepared: Prepared) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bcdl-cache-") as folder:
        return {"cold": _first_step_s(prepared, Path(folder)), "warm": _first_step_s(prepared, Path(folder))}


def _first_step_s(prepared: Prepared, folder: Path) -> float:
    from bcdl.worker import regimes
    from bcdl.worker.prepared import build

    prepared.adapter.cache_compilations(folder)
    model = build(prepared.job, prepared.class_weights)
    return regimes.first_step(dataclasses.replace(prepared, model=model))


if __name__ == "__main__":
    run_command(main)
