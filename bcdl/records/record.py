"""The record: the outcome of one cell, failures included, as a versioned, self-contained line of JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from bcdl.records.line import parse_object
from bcdl.records.schema import SCHEMA, DatasetFacts, Environment, ModelFacts, Predictions, fits, upgrade
from bcdl.settings.cell import Cell

OK, FAILED, OUT_OF_MEMORY, TIMED_OUT, CRASHED, SKIPPED = (
    "ok",
    "failed",
    "out_of_memory",
    "timed_out",
    "crashed",
    "skipped",
)


class RecordError(ValueError):
    """A line that can't be read as a record; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One cell's outcome.

    Attributes:
        run: id of the run (one command on one machine) it belongs to.
        status: `ok`, `failed`, `out_of_memory`, `timed_out`, `crashed` or `skipped`.
        reason: why it is not ok, in a sentence; empty if it is ok.
        cell: the cell, with every setting.
        started, ended: UTC, ISO 8601.
        metrics: numbers by name; a name ends in its unit (`_s`, `_images_per_s`, `_mib`) unless it is a share.
        samples: raw samples by name, seconds: an epoch for `fit_s`, a window for `step_s` and `predict_s`, a
            request for `request_s`; and `<regime>_warm_up_s`, those before them: the first epoch, or the windows that
            were not steady yet.
        phases: seconds of each phase of the cell, from the start of its worker to the end; together they are the cell's
            whole time.
        history: by epoch: accuracy, loss (training mode), val_accuracy, val_loss, val_auroc (inference mode).
        predictions: by split (`val`, `test`): outputs [N, 2], scores, labels, groups and names, each a list.
        dataset: name, checksum, synthetic, images and groups by split, notices.
        model: parameters, trainable_parameters, head_padding, and `cost`: operations an image by layer type, bytes.
        weights: kind (`none`, `imagenet`, `file`) and the loaded file's sha256.
        environment: versions, machine, device, precision flags, arithmetic probed and what the hardware lacks of it,
            jit, compilation cache, commit, digest of the worker's source (`code`),
            how many cells its process had measured before (`process.cells_before`); on a GPU `gpu_state` by regime:
            clocks, temperature, throttling; `disturbance` by regime, and `clock`: see the schema.
        block: the round, if the run measured two sides in turn; else empty.
        side: the side, `a` or `b`, if the run measured two sides in turn; else empty.
        log_tail: the last lines of the worker's log, paths taken out, if the cell failed.
        sequence: its count among all records of its results folder, from 1, by which the newest is known whatever the
            clock said; 0 if it was not counted. It says nothing of the cell, and equal records may differ in it.
    """

    run: str
    status: str
    reason: str
    cell: Cell
    started: str
    ended: str
    metrics: dict[str, float | None] = dataclasses.field(default_factory=dict)
    samples: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    phases: dict[str, float] = dataclasses.field(default_factory=dict)
    history: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)
    predictions: dict[str, dict[str, list[Any]]] = dataclasses.field(default_factory=dict)
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: dict[str, Any] = dataclasses.field(default_factory=dict)
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    block: str = ""
    side: str = ""
    log_tail: list[str] = dataclasses.field(default_factory=list)
    sequence: int = dataclasses.field(default=0, compare=False)

    @property
    def ok(self) -> bool:
        return self.status == OK

    def value(self, name: str) -> float:
        """The metric of that name, or NaN if it is undefined or was not measured."""
        value = self.metrics.get(name)
        return math.nan if value is None else value

    def to_json(self) -> str:
        """The record as one line; NaN and infinities, which JSON lacks, become null."""
        return json.dumps({"schema": SCHEMA, **finite(dataclasses.asdict(self))}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record on `line`, upgraded from an older schema; RecordError if the line is not a record."""
        try:
            values = parse_object(line, SCHEMA, "a record")
        except ValueError as error:
            raise RecordError(str(error)) from error
        schema = values.pop("schema")
        try:
            upgrade(values, schema)
            record = cls(cell=Cell.from_dict(values.pop("cell")), **values)
            _check(record)
            return record
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(f"a record whose fields do not fit schema {schema} ({error})") from error


_TEXTS = ("run", "status", "reason", "started", "ended", "block", "side")
_SHAPES: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    "metrics": dict[str, float | None],
    "samples": dict[str, list[float]],
    "phases": dict[str, float],
    "history": dict[str, list[float | None]],
    "predictions": dict[str, Predictions],
    "dataset": DatasetFacts,
    "model": ModelFacts,
    "weights": dict[str, Any],
    "environment": Environment,
    "log_tail": list[str],
}


def _check(record: Record) -> None:
    """ValueError if a field lacks the shape that readers rely on; a part that the cell did not reach may be empty."""
    for name, shape in _SHAPES.items():
        value = getattr(record, name)
        if not fits(shape)(value) and (record.ok or shape is str or value != {}):
            raise ValueError(f"{name} is not what it should be: {str(value)[:60]}")
    if not fits(int)(record.sequence) or record.sequence < 0:
        raise ValueError(f"sequence is not a count: {str(record.sequence)[:60]}")
    if any(min(samples, default=1) <= 0 for samples in record.samples.values()):
        raise ValueError("samples hold a time that is not above 0 s")
    for split, columns in record.predictions.items():
        if len(set(map(len, columns.values()))) != 1 or not {0, 1}.issuperset(columns["labels"]):
            raise ValueError(f"predictions of {split} are not one a label, 0 or 1")
        if any(len(outputs) != 2 for outputs in columns["outputs"]):
            raise ValueError(f"predictions of {split} are not of two classes")


def finite(value: Any) -> Any:
    """A JSON value whose NaN and infinities, at any depth, are None; tuples become lists."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
