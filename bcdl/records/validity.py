"""What makes a record valid: each value is what its row says, and the values fit together. Others are left out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from bcdl.records import checks, recomputed
from bcdl.records.checks import Check, MisfitError
from bcdl.records.line import SHARED

if TYPE_CHECKING:
    from bcdl.records.record import Record


def check(record: Record) -> None:
    """ValueError, which says why, if a report could not rely on the record."""
    _check_fields(record)
    _check_moments(record)
    _check_counts(record)
    _check_history(record)
    _check_predictions(record)
    _check_untested(record)
    recomputed.check(record)


def _check_fields(record: Record) -> None:
    """Each field is what its row says; a part that a cell which is not ok did not reach may be empty."""
    values = vars(record)
    empty = [] if record.ok else [field.name for field in dataclasses.fields(record) if field.default_factory is dict]
    unreached = {name for name in empty if values[name] == {}}
    checks.check_parts({name: check for name, check in _fields().items() if name not in unreached}, values)


@functools.cache
def _fields() -> Mapping[str, Check]:
    """The check of each field; a cell checks itself."""
    from bcdl.records.record import Record  # here, since that module imports this one

    of_fields = {name: check for name, check in checks.of_shape(Record).items() if name != "cell"}
    return of_fields | {name: checks.remembering(of_fields[name]) for name in SHARED}


def _check_moments(record: Record) -> None:
    """A cell ends after it began, unless the clock was set back meanwhile or nobody watched it."""
    clock = record.environment.get("clock", {})
    backwards = datetime.fromisoformat(record.ended) < datetime.fromisoformat(record.started)
    if backwards and clock.get("jumped_s", -1.0) >= 0:
        raise MisfitError(f"is {record.ended}, before it started, and its clock was not set back", ("ended",))


def _check_counts(record: Record) -> None:
    """No split has more images or groups of a class than it has in all."""
    for part, whole in (("malignant", "images"), ("benign_groups", "groups"), ("malignant_groups", "groups")):
        in_all = record.dataset.get(whole, {})
        for split, count in record.dataset.get(part, {}).items():
            if count > in_all.get(split, count):
                raise MisfitError(f"is {count}, more than its {whole}, {in_all[split]}", ("dataset", part, split))


def _check_history(record: Record) -> None:
    """All histories of an epoch's end are of the same epochs; those of the head alone are of others."""
    for of_head in (False, True):
        lengths = {len(values) for name, values in record.history.items() if name.startswith("head_") is of_head}
        if len(lengths) > 1:
            raise MisfitError(f"has values of {' and of '.join(map(str, sorted(lengths)))} epochs", ("history",))


def _check_predictions(record: Record) -> None:
    """Each split has one of everything for each of its images."""
    for split, columns in record.predictions.items():
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise MisfitError(f"has columns of several lengths: {lengths}", ("predictions", split))


def _check_untested(record: Record) -> None:
    """A cell that is not tested says nothing of the test images."""
    if record.cell.test:
        return
    for name in record.metrics:
        if name.startswith("test_"):
            raise MisfitError("is there, though the cell is not tested", ("metrics", name))
    if "test" in record.predictions:
        raise MisfitError("are there, though the cell is not tested", ("predictions", "test"))
