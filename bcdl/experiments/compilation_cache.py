"""What a persistent compilation cache saves of the first step.

In every round the model is built twice and takes its first step each time: first with an empty cache, then, after the
backend has forgotten all that it compiled, with the cache that the first step filled. Backends without such a cache
refuse.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from bcdl.experiments.engine.definition import InProcess, Way
from bcdl.machine import scratch

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell


def ways(cell: TrainingCell) -> dict[str, Way]:
    return {"cold": lambda: _cold_and_warm(cell)}


def _cold_and_warm(cell: TrainingCell) -> dict[str, float]:
    with scratch.folder() as made:
        folder = made / "compiled"
        folder.mkdir()
        return {"cold": _first_step_s(cell, folder), "warm": _first_step_s(cell, folder)}


def _first_step_s(cell: TrainingCell, folder: Path) -> float:
    from bcdl.worker import prepared, regimes  # here: they import Keras

    cell.adapter.cache_compilations(folder)
    fresh = dataclasses.replace(cell.prepared, model=prepared.build(cell.job, cell.prepared.class_weights))
    return regimes.first_step(fresh)


EXPERIMENT = InProcess(name="A persistent compilation cache, first step", ways=ways, unit="s")
