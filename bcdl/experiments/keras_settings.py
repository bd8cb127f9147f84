"""Which settings of Keras suit a backend.

Whole epochs by `model.fit`, in turn: as Keras compiles and feeds a model by default; with `jit_compile` the other way
round; with several steps an execution; and with each setting of a cell that leaves the model what it is (layout, input
transfer, autotuning), alone and together. A setting that the backend refuses is named and left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcdl.backends import UnsupportedError
from bcdl.experiments.engine.definition import InProcess, Way
from bcdl.screen import say
from bcdl.text import on_one_line

if TYPE_CHECKING:
    from bcdl.experiments.engine.training_cell import TrainingCell

# Values of settings of a cell that are not the usual ones.
_OF_CELL = {"data_format": "channels_first", "input_transfer": "prefetched", "autotune": "on"}


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
            say(f"{name} is refused on {cell.cell.backend}: {on_one_line(error)}")
    return ways | _of_cell(cell)


def recompiled(cell: TrainingCell, changed: dict[str, Any]) -> TrainingCell:
    """The same cell with another model, compiled with `changed`, that has run a step; ValueError if it is refused."""
    from bcdl.worker import prepared  # here: it imports Keras

    model = prepared.build(cell.job, cell.prepared.class_weights)
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"], **changed)
    return cell.with_model(model)


def _of_cell(cell: TrainingCell) -> dict[str, Way]:
    """The ways that settings of the cell give: each that the backend has, and all of these together."""
    cells = {}
    for name, value in _OF_CELL.items():
        try:
            cells[f"{name}={value}"] = cell.with_settings({name: value})
        except UnsupportedError as error:
            say(f"{name}={value} is left out on {cell.cell.backend}: {error}")
    if len(cells) > 1:
        together = {name: _OF_CELL[name] for name in (each.partition("=")[0] for each in cells)}
        cells[", ".join(cells)] = cell.with_settings(together)
    return {name: _epoch(name, other) for name, other in cells.items()}


def _epoch(name: str, cell: TrainingCell) -> Way:
    return lambda: {name: cell.images / cell.epoch_s()}


EXPERIMENT = InProcess(name="Keras's settings", ways=ways, searches=True)
