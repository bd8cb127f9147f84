"""Which settings of Keras suit a backend.

Whole epochs by `model.fit`, in turn: as Keras compiles a model by default, with `jit_compile` the other way round, and
with several steps an execution. A setting that the backend refuses is named and left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcdl.experiments.engine.definition import InProcess, Way

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell


def ways(cell: TrainingCell) -> dict[str, Way]:
    from bcdl.experiments.engine.training_cell import STEPS_TOGETHER  # here: it imports Keras

    cell = cell.with_long_epochs()
    jit = bool(cell.prepared.model.jit_compile)
    settings: dict[str, dict[str, Any]] = {
        f"jit_compile={not jit}": {"jit_compile": not jit},
        f"steps_per_execution={STEPS_TOGETHER}": {"steps_per_execution": STEPS_TOGETHER},
    }
    ways = {f"default (jit_compile={jit})": _epoch(f"default (jit_compile={jit})", cell)}
    for name, changed in settings.items():
        try:
            ways[name] = _epoch(name, recompiled(cell, changed))
        except ValueError as error:
            print(f"{name} is refused on {cell.cell.backend}: {str(error).splitlines()[0]}")
    return ways


def recompiled(cell: TrainingCell, changed: dict[str, Any]) -> TrainingCell:
    """The same cell with another model, compiled with `changed`, that has run a step; ValueError if it is refused."""
    from bcdl.worker import prepared  # here: it imports Keras

    model = prepared.build(cell.job, cell.prepared.class_weights)
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"], **changed)
    return cell.with_model(model)


def _epoch(name: str, cell: TrainingCell) -> Way:
    return lambda: {name: cell.images / cell.epoch_s()}


EXPERIMENT = InProcess(name="Keras's settings", ways=ways, searches=True)
