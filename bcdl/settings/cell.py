"""The cell: what is to be run, with every setting resolved. Standard library only."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, get_type_hints
from urllib.parse import quote, unquote

from bcdl.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model on one backend, with one set of settings and one seed.

    A cell holds names, never paths: `data` and `weights` are the base names of files or folders, and
    the record adds their checksums.

    Attributes:
        model: name of a row of `bcdl.models.MODELS`.
        backend: name of a folder of `backends/`.
        device: `cpu` or `gpu`.
        profile: the profile whose settings were the starting point.
        data: name of the data set.
        magnification: BreaKHis magnification kept (40, 100, 200 or 400), or 0 for all there are.
        image_size: height and width of the square images, pixels.
        batch_size: images a training, validation and test batch.
        epochs: passes over the training images, those of the head alone left out.
        head_epochs: passes before those, in which the head alone is trained and the backbone is frozen.
        keep: the epoch whose weights are tested: the `last`, or the `best` by validation loss.
        patience: epochs without a better validation loss after which training stops, or 0 for never.
        learning_rate: of Adam; of the head alone, ten times as much.
        class_weights: whether the loss weighs the classes as if they were equally frequent.
        batch_norm: which statistics inference normalises by: see `bcdl.batch_norm`.
        weights: what the backbone starts from: `none`, `imagenet`, or the name of a weights file.
        precision: `float32`, `tf32` or `mixed_bfloat16`.
        augment: whether training images are rotated, zoomed and flipped.
        seed: of initial weights, order of images, augmentation and dropout.
        split_seed: of the train, validation and test split, apart from `seed` so that seeds share a test set.
        split_by: what a split never cuts: a `group` (a patient), or only an `image`, which leaks.
        folds: of a cross-validation, or 0 for a single split.
        fold: which of the folds is the test set, from 0.
        optimizer: `adam`, or `sgd` with momentum 0.9.
        timing: whether rates are measured; where not, the cell is about accuracy alone.
        windows: timed windows of the step and predict regimes.
        window_steps: steps a window.
    """

    model: str
    backend: str
    device: str
    profile: str
    data: str
    magnification: int
    image_size: int
    batch_size: int
    epochs: int
    head_epochs: int
    keep: str
    patience: int
    learning_rate: float
    class_weights: bool
    batch_norm: str
    weights: str
    precision: str
    augment: bool
    seed: int
    split_seed: int
    split_by: str
    folds: int
    fold: int
    timing: bool
    windows: int
    window_steps: int
    optimizer: str

    def __post_init__(self) -> None:
        for name in ("image_size", "batch_size", "epochs", "windows", "window_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, less than 1")
        if not 0 <= self.fold < max(1, self.folds):
            raise ValueError(f"fold is {self.fold}, none of {self.folds} folds")

    @property
    def id(self) -> str:
        """The cell as one line of `key=value` pairs, the same on every machine; `Cell.parse` reads it back."""
        return ",".join(f"{key}={quote(str(value), safe='')}" for key, value in self.to_dict().items())

    @property
    def title(self) -> str:
        """The cell in words, told from the others of a run."""
        return f"{self.model} on {self.backend}, {self.draw}"

    @property
    def draw(self) -> str:
        """What chance decides in the cell: its seed, and its part of the data where that is not the plain split."""
        fold = f", fold {self.fold}" if self.folds else ""
        return f"seed {self.seed}{fold}{', by image' if self.split_by == 'image' else ''}"

    @property
    def stem(self) -> str:
        """A file name for the cell, told from the others of a run."""
        return f"{self.model}-{self.backend}-{self.draw}".replace(", ", "-").replace(" ", "")

    @classmethod
    def parse(cls, cell_id: str) -> Cell:
        """The cell whose id is `cell_id`; UsageError where it is not a cell's id."""
        try:
            pairs = dict(pair.split("=", 1) for pair in cell_id.split(","))
            return cls.from_dict({key: unquote(value) for key, value in pairs.items()})
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UsageError(f"{cell_id!r} is not a cell's id ({error}); an id is made by Cell.id") from error

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Cell:
        """The cell with these values, each read as its field's type (JSON numbers and strings alike)."""
        types = _types()
        unknown = values.keys() - types.keys()
        if unknown:
            raise KeyError(f"unknown keys: {', '.join(sorted(unknown))}")
        return cls(**{key: _read(types[key], values[key]) for key in types})


@functools.cache
def _types() -> dict[str, type]:
    return get_type_hints(Cell)


def _read(kind: type, value: Any) -> Any:
    """`value` as a `kind`, where it is one or the text of one; ValueError where not."""
    if kind is bool and isinstance(value, str):
        return {"True": True, "False": False}[value]
    wanted = (int, float, str) if kind is float else (kind, str)
    if not isinstance(value, wanted) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(f"{str(value)[:40]!r} is no {kind.__name__}")
    read = kind(value)
    if kind in (int, float) and not math.isfinite(read):
        raise ValueError(f"{value!r} is not finite")
    return read
