"""The record: the outcome of one cell, failures included, as a versioned, self-contained line of JSON."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from array import array
from collections.abc import Hashable, Iterator
from typing import Annotated, Any

from bcdl.records import identity, recomputed, validity
from bcdl.records.fields import LARGEST, MOMENT, Field
from bcdl.records.line import MISFITS, MOST_COUNT, parse_object
from bcdl.records.schema import SCHEMA, upgrade
from bcdl.records.shapes import (
    HISTORY_BY_EPOCH,
    LEAST_TIME_S,
    METRICS,
    SAMPLES,
    TIMED,
    DatasetFacts,
    Environment,
    ModelFacts,
    Predictions,
    Weights,
)
from bcdl.settings.cell import Cell

OK, FAILED, DIVERGED, OUT_OF_MEMORY, TIMED_OUT, CRASHED, SKIPPED = (
    "ok",
    "failed",
    "diverged",
    "out_of_memory",
    "timed_out",
    "crashed",
    "skipped",
)

SEALED_SINCE = 11  # the first schema whose lines end in their digest
_TELLING_SAMPLES = 3


class RecordError(ValueError):
    """A line that can't be read as a record; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One cell's outcome; each attribute is a field of the line, and has its row."""

    run: Annotated[
        str,
        Field("id of the run (one command on one machine) that it belongs to", "records of a run stand in one file"),
    ]
    status: Annotated[
        str,
        Field(
            "`ok`, `failed`, `diverged`, `out_of_memory`, `timed_out`, `crashed` or `skipped`",
            "a cell that is not ok is reported and never left out silently",
        ),
    ]
    reason: Annotated[str, Field("why it is not ok, in a sentence; empty if it is ok", "what to do next")]
    cell: Annotated[Cell, Field("every setting of the cell, as resolved", "figures of other settings are no equals")]
    started: Annotated[
        str,
        Field(
            "when the cell began",
            "when it was; which of equal cells is the newest, `sequence` says",
            unit=MOMENT,
        ),
    ]
    ended: Annotated[str, Field("when it ended", "how long a cell takes, for plans", unit=MOMENT)]
    metrics: Annotated[
        dict[str, float | None],
        Field(
            "numbers by name; null if undefined",
            "what tables and comparisons read",
            entries=METRICS,
            least=-LARGEST,
            most=LARGEST,
        ),
    ] = dataclasses.field(default_factory=dict)
    samples: Annotated[
        dict[str, list[float]],
        Field(
            "raw samples of each regime",
            "a rate can be computed again, with its spread, by whoever doubts it",
            unit="s",
            entries=SAMPLES,
            only=TIMED,
            least=LEAST_TIME_S,
        ),
    ] = dataclasses.field(default_factory=dict)
    phases: Annotated[
        dict[str, float],
        Field(
            "time of each phase of the cell, from the start of its worker to the end; together they are all of it",
            "it shows what a cell spends its time on, and how much of it is measured",
            unit="s",
            since=7,
            keys=("phase",),
        ),
    ] = dataclasses.field(default_factory=dict)
    history: Annotated[
        dict[str, list[float | None]],
        Field(
            "values by epoch; null if undefined",
            "how training went",
            entries=HISTORY_BY_EPOCH,
            least=-LARGEST,
            most=LARGEST,
        ),
    ] = dataclasses.field(default_factory=dict)
    predictions: Annotated[
        dict[str, dict[str, list[Any]]],
        Field(
            "what the trained model says of each image of `val` and `test`",
            "metrics, intervals and tests between models are computed from it, without the model",
            since=4,
            keys=("split",),
            shape=dict[str, Predictions],
        ),
    ] = dataclasses.field(default_factory=dict)
    dataset: Annotated[
        dict[str, Any],
        Field("the data that it was trained and tested on", "no figure means anything without", shape=DatasetFacts),
    ] = dataclasses.field(default_factory=dict)
    model: Annotated[
        dict[str, Any], Field("the model that was built", "a name does not say what was built", shape=ModelFacts)
    ] = dataclasses.field(default_factory=dict)
    weights: Annotated[
        dict[str, Any], Field("where its weights came from", "a pretrained model is another", shape=Weights)
    ] = dataclasses.field(default_factory=dict)
    environment: Annotated[
        dict[str, Any],
        Field("machine, versions and code that made it", "figures of other ones are no equals", shape=Environment),
    ] = dataclasses.field(default_factory=dict)
    block: Annotated[
        str,
        Field("the round, if the run measured sides in turn; else empty", "the sides of a round are a block", since=2),
    ] = ""
    side: Annotated[
        str, Field("the side, a letter, if the run measured sides in turn; else empty", "as `block`", since=6)
    ] = ""
    log_tail: Annotated[
        list[str],
        Field(
            "the last lines of the worker's log if the cell failed, paths taken out", "the cause, after the log is gone"
        ),
    ] = dataclasses.field(default_factory=list)
    sequence: Annotated[
        int,
        Field(
            "its count: one more than the highest that its writer saw in the results folder, from 1; 0 if not counted",
            "the newest is known, whatever the clock said; equal records may differ in it",
            since=8,
            most=MOST_COUNT,
        ),
    ] = dataclasses.field(default=0, compare=False)

    @property
    def ok(self) -> bool:
        return self.status == OK

    @property
    def has_ended(self) -> bool:
        """Whether the cell came to its end, on whatever machine: training that diverges ends without a model."""
        return self.status in (OK, DIVERGED)

    def value(self, name: str) -> float:
        """The metric of that name, or NaN if it is undefined or was not measured."""
        value = self.metrics.get(name)
        return math.nan if value is None else value

    def to_json(self) -> str:
        """The record as one line; NaN and infinities, which JSON lacks, become null."""
        # Nothing is copied that need not be: a report writes each record several times.
        values = {"schema": SCHEMA, **vars(self), "cell": dataclasses.asdict(self.cell)}
        sequence = values.pop("sequence")
        try:
            return identity.sealed(values, sequence)
        except ValueError:  # a number that JSON lacks
            return identity.sealed(finite(values), sequence)

    @property
    def marks(self) -> Iterator[tuple[str, Hashable]]:
        """What no two different records have in common: a cell of a run starts once, and no two times are equal.

        Samples count if three of them differ: so many equal ones are no chance.
        """
        yield "one cell and start in one run", (self.run, self.side, self.block, self.cell, self.started)
        for samples in self.samples.values():
            if len(set(samples[:_TELLING_SAMPLES])) == _TELLING_SAMPLES or len(set(samples)) >= _TELLING_SAMPLES:
                digest = hashlib.blake2b(array("d", samples), digest_size=16).digest()  # a record has many samples
                yield "the same raw samples", digest

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record on `line`, upgraded from an older schema; RecordError if the line is not a record."""
        try:
            values = parse_object(line, SCHEMA, "a record")
            _check_seal(line, values)
        except ValueError as error:
            raise RecordError(str(error)) from error
        schema = values.pop("schema")
        try:
            upgrade(values, schema)
            record = cls(cell=Cell.from_dict(values.pop("cell")), **values)
            validity.check(record)
            _share_columns(record)
            return record
        except recomputed.EditedError as error:
            raise RecordError(str(error)) from error
        except MISFITS as error:
            raise RecordError(f"a record whose fields do not fit schema {schema} ({error})") from error


def _check_seal(line: str, values: dict[str, Any]) -> None:
    """Take the digest out of the values; ValueError if it is not that of the line, or if the line should have none."""
    if values["schema"] >= SEALED_SINCE:
        identity.check_seal(line, values)
    elif identity.SHA256 in values:
        raise ValueError(f"edited since it was written: schema {values['schema']} had no {identity.SHA256} yet")
    values.pop(identity.SHA256, None)


def _share_columns(record: Record) -> None:
    """Let records of the same images have one list of their names, groups and labels, for the sake of memory."""
    for columns in record.predictions.values():
        for name in ("names", "groups", "labels"):
            columns[name] = _list_of(tuple(columns[name]))


@functools.lru_cache(maxsize=64)
def _list_of(values: tuple[Any, ...]) -> list[Any]:
    return list(values)


def finite(value: Any) -> Any:
    """A JSON value whose NaN and infinities, at any depth, are None; tuples become lists."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
