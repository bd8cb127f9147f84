"""Whether the values of a record fit together: a record is valid, or it is left out and named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bcdl.records import fields

if TYPE_CHECKING:
    from bcdl.records.record import Record


def check(record: Record) -> None:
    """ValueError, which says why, if a report could not rely on the record."""
    _check_shapes(record)
    _check_samples(record)
    _check_predictions(record)


def _check_shapes(record: Record) -> None:
    """A field has the shape that readers rely on; a part that the cell did not reach may be empty."""
    for name, fits, is_text in _shapes():
        value = getattr(record, name)
        if not fits(value) and (record.ok or is_text or value != {}):
            raise ValueError(f"{name} is not what it should be: {str(value)[:60]}")
    if record.sequence < 0:
        raise ValueError(f"sequence is not a count: {record.sequence}")


@functools.cache
def _shapes() -> list[tuple[str, Callable[[Any], bool], bool]]:
    """Of each field: its name, whether a value has its shape, and whether it is a text. A cell checks itself."""
    from bcdl.records.record import Record  # here, since that module imports this one

    shapes = {name: shape for name, shape in fields.shapes(Record).items() if name != "cell"}
    return [(name, fields.fits(shape), shape is str) for name, shape in shapes.items()]


def _check_samples(record: Record) -> None:
    if any(min(samples, default=1) <= 0 for samples in record.samples.values()):
        raise ValueError("samples hold a time that is not above 0 s")


def _check_predictions(record: Record) -> None:
    for split, columns in record.predictions.items():
        if len(set(map(len, columns.values()))) != 1 or not {0, 1}.issuperset(columns["labels"]):
            raise ValueError(f"predictions of {split} are not one a label, 0 or 1")
        if any(len(outputs) != 2 for outputs in columns["outputs"]):
            raise ValueError(f"predictions of {split} are not of two classes")
