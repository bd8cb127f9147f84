"""The record: what came of one cell, failures included; a versioned, self-contained line of JSON.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

from bcdl.cell import Cell

# 1: the first schema.
# 2: `block`; empty in what schema 1 recorded.
SCHEMA = 2

OK, FAILED, OUT_OF_MEMORY, TIMED_OUT, CRASHED, SKIPPED = (
    "ok",
    "failed",
    "out_of_memory",
    "timed_out",
    "crashed",
    "skipped",
)

_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}")


class RecordError(ValueError):
    """A line that can't be read as a record; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One cell's outcome.

    Attributes:
        run: id of the run (one command on one machine) it belongs to.
        status: `ok`, `failed`, `out_of_memory`, `timed_out`, `crashed` or `skipped`.
        reason: why it is not ok, in a sentence; empty where it is.
        cell: the cell, fully resolved.
        metrics: numbers by name; a name ends in its unit (`_s`, `_images_per_s`, `_mib`) unless it is a share.
        samples: raw samples by name, seconds: an epoch for `fit_s`, a window for `step_s` and `predict_s`, one
            request for `request_s`; of the last three also the windows before they were steady, `<regime>_warm_up_s`.
        history: by epoch: accuracy, loss (training mode), val_accuracy, val_loss, val_auroc (inference mode).
        predictions: of the test split: outputs [N, 2], scores, labels, groups and names, each a list.
        dataset: name, checksum, synthetic, images and groups by split, notices.
        model: parameters, trainable_parameters, head_padding, and `cost`: operations an image by layer type, bytes.
        weights: kind (`none`, `imagenet`, `file`) and the loaded file's sha256.
        environment: versions, machine, device, precision flags, arithmetic probed and what the hardware lacks of it,
            jit, compilation cache, commit; on a GPU `gpu_state` by regime: clocks, temperature, throttling.
        started, ended: UTC, ISO 8601.
        block: of a run that measured two sides in turn, the round; empty elsewhere.
        log_tail: the last lines of the worker's log, paths taken out, where the cell failed.
    """

    run: str
    status: str
    reason: str
    cell: Cell
    started: str
    ended: str
    metrics: dict[str, float | None] = dataclasses.field(default_factory=dict)
    samples: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    history: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)
    predictions: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: dict[str, Any] = dataclasses.field(default_factory=dict)
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    block: str = ""
    log_tail: list[str] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.status == OK

    def value(self, name: str) -> float:
        """The metric of that name, or NaN where it is undefined or was not measured."""
        value = self.metrics.get(name)
        return math.nan if value is None else value

    def to_json(self) -> str:
        """The record as one line; NaN and infinities, which JSON has no word for, become null."""
        return json.dumps({"schema": SCHEMA, **_finite(dataclasses.asdict(self))}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record on `line`, upgraded from an older schema; RecordError where it is none."""
        try:
            values = json.loads(line)
        except ValueError as error:
            raise RecordError(f"not a line of JSON ({error}); it was torn or edited") from error
        schema = values.pop("schema", None) if isinstance(values, dict) else None
        if not isinstance(schema, int):
            raise RecordError("a line without a schema number; it is not a record of bcdl")
        if schema > SCHEMA:
            raise RecordError(f"schema {schema} is newer than this bcdl reads ({SCHEMA}); update bcdl")
        try:
            cell = Cell.from_dict(values.pop("cell"))
            return cls(cell=cell, **values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(f"a record whose fields do not fit schema {schema} ({error})") from error


def scrub(text: str) -> str:
    """`text` with every path cut down to its last part: a record names no folder of the machine it was made on."""
    return _PATH.sub(lambda match: re.split(r"[\\/]", match[0])[-1], text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
