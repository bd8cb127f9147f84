"""A job: a cell and what a worker needs to run it."""

from __future__ import annotations

import dataclasses
from typing import Any

from bcdl import datasets
from bcdl.settings.cell import Cell


@dataclasses.dataclass(frozen=True)
class Job:
    """A cell, with the paths that a worker needs to run it and that a record must not hold.

    Attributes:
        cell: what is to be run.
        data: the `--data` argument: a name or a path.
        weights_file: path of the backbone's weights; None if they are not a file.
        skip_unreadable: leave unreadable images out instead of failing.
        cold: compile everything anew, and keep nothing of it for later processes.
    """

    cell: Cell
    data: str
    weights_file: str | None
    skip_unreadable: bool
    cold: bool = False

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        return cls(**{**values, "cell": Cell.from_dict(values["cell"])})

    @property
    def request(self) -> datasets.Request:
        """The request that loads the cell's data set."""
        cell = self.cell
        return datasets.Request(
            self.data,
            cell.image_size,
            cell.split_seed,
            cell.magnification,
            self.skip_unreadable,
            by_group=cell.split_by == "group",
            folds=cell.folds,
            fold=cell.fold,
        )
