"""Which settings of Keras suit a backend: `python -m benchmarks.experiment_settings --backend jax`.

Whole epochs by `model.fit`, in turn: as Keras compiles a model by default, with `jit_compile` the other way round, and
with several steps an execution. A setting that the backend refuses is named and left out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bcdl.errors import run_command
from bcdl.experiments import engine
from bcdl.experiments.engine import STEPS_TOGETHER, Way

if TYPE_CHECKING:
    from bcdl.worker.prepared import Prepared

NAME = "Keras's settings"


def main() -> int:
    return engine.main(__doc__ or "", "experiment_settings", NAME, _ways, searches=True)


def _ways(prepared: Prepared) -> dict[str, Way]:
    prepared = engine.with_long_epochs(prepared)
    jit = bool(prepared.model.jit_compile)
    settings: dict[str, dict[str, Any]] = {
        f"jit_compile={not jit}": {"jit_compile": not jit},
        f"steps_per_execution={STEPS_TOGETHER}": {"steps_per_execution": STEPS_TOGETHER},
    }
    ways = {f"default (jit_compile={jit})": _epoch(f"default (jit_compile={jit})", prepared)}
    for name, changed in settings.items():
        try:
            ways[name] = _epoch(name, _recompiled(prepared, changed))
        except ValueError as error:
            print(f"{name} is refused on {prepared.cell.backend}: {str(error).splitlines()[0]}")
    return ways


def _epoch(name: str, prepared: Prepared) -> Way:
    return lambda: {name: prepared.images_per_epoch / engine.epoch_s(prepared)}


def _recompiled(prepared: Prepared, changed: dict[str, Any]) -> Prepared:
    """The same cell with another model, compiled with `changed`, that has run a step; ValueError where refused."""
    from bcdl.worker import regimes
    from bcdl.worker.prepared import build

    model = build(prepared.job, prepared.class_weights)
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"], **changed)
    recompiled = dataclasses.replace(prepared, model=model)
    regimes.first_step(recompiled)
    return recompiled


if __name__ == "__main__":
    run_command(main)
