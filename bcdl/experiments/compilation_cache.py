"""What a persistent compilation cache saves of the first step: `python -m benchmarks.experiment_cache --backend jax`.

In every round the model is built twice and takes its first step: with an empty cache, then, everything compiled having
been forgotten, with the cache that the first has filled. Backends without such a cache refuse.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import Prepared, Way

NAME = "A persistent compilation cache, first step"


def main() -> int:
    return engine.main(__doc__ or "", "experiment_cache", NAME, _ways, unit="s")


def _ways(prepared: Prepared) -> dict[str, Way]:
    return {"cold": lambda: _cold_and_warm(prepared)}


def _cold_and_warm(prepared: Prepared) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bcdl-cache-") as folder:
        return {"cold": _first_step_s(prepared, Path(folder)), "warm": _first_step_s(prepared, Path(folder))}


def _first_step_s(prepared: Prepared, folder: Path) -> float:
    prepared.adapter.cache_compilations(folder)
    model = prepared.regimes.build(prepared.cell, prepared.job.weights_file)
    return float(prepared.regimes.first_step(model, prepared.adapter, prepared.feed))


if __name__ == "__main__":
    run_command(main)
