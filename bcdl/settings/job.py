"""A job: a cell and what a worker needs to run it."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

from bcdl import datasets
from bcdl.errors import UsageError
from bcdl.settings.cell import Cell
from bcdl.text import quoted

# Exit code of a worker that has measured its job and finds no room for the record: that of an error of input or output
# (sysexits.h).
RESULT_LOST = 74


@dataclasses.dataclass(frozen=True)
class Job:
    """A cell, with the paths that a worker needs to run it and that a record must not hold.

    Attributes:
        cell: what is to be run.
        data: the `--data` argument: a name or a path.
        weights_file: path of the backbone's weights; None if they are not a file.
        skip_unreadable: leave unreadable images out instead of failing.
        cold: compile everything anew, and keep nothing of it for later processes.
        labels_file: path of the table that says each image's class; None if folders do.
        pool: folder in which the driver put the images that it has read, for its workers; None if it put none.
        data_checksum, weights_checksum: of the data set and of `weights_file` when the driver checked them; empty if it
            did not. A worker that finds another refuses to go on.
        keep_names: record the names of images and groups, not their hashes.
    """

    cell: Cell
    data: str
    weights_file: str | None
    skip_unreadable: bool
    cold: bool = False
    labels_file: str | None = None
    pool: str | None = None
    data_checksum: str = ""
    weights_checksum: str = ""
    keep_names: bool = False

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        return cls(**{**values, "cell": Cell.from_dict(values["cell"])})

    @property
    def process_key(self) -> Hashable:
        """Equal for jobs that may share a process, one after the other: those of one model that measure no speed."""
        if self.cell.timing:
            return self
        settings = {name: getattr(self.cell, name) for name, row in self.cell.rows().items() if not row.same_model}
        return tuple({**vars(self), "cell": tuple(settings.items()), "data_checksum": ""}.items())

    @property
    def request(self) -> datasets.Request:
        """The request that loads the cell's data set; UsageError if columns are named, and no table that has them."""
        cell = self.cell
        columns = (cell.image_column, cell.label_column, cell.group_column)
        if not self.labels_file and any(columns):
            name = next(name for name in ("image_column", "label_column", "group_column") if getattr(cell, name))
            asked = f"{cell.rows()[name].option} {quoted(getattr(cell, name))}"
            raise UsageError(f"{asked} is a column of no table; name the table with --labels")
        return datasets.Request(
            self.data,
            cell.image_size,
            cell.split_seed,
            cell.magnification,
            self.skip_unreadable,
            class_map=cell.class_map,
            labels=datasets.LabelsTable(self.labels_file, *columns) if self.labels_file else None,
            grey_bits=cell.grey_bits,
            by_group=cell.split_by == "group",
            folds=cell.folds,
            fold=cell.fold,
        )
