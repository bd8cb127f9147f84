"""The record: what came of one cell, failures included; a versioned, self-contained line of JSON.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import statistics
import types
import typing
from collections.abc import Callable, Collection
from typing import Any, TypedDict

from bcdl.settings.cell import Cell

# 1: the first schema.
# 2: `block`; empty in what schema 1 recorded.
# 3: `environment.code`, which source the worker ran; None in what schemas 1 and 2 recorded.
# 4: predictions by split, of validation and test; before, only those of the test split. The cell says how training
#    ends, what inference normalises by and how the data was split; before, none of these could be chosen.
#    `dataset.images_checksum`, of the images whatever their split, and `dataset.leaks`, what stands on both its sides.
# 5: the first epoch is `fit_warm_up_s`, where there are others; before, it counted in `fit_s` and its rate.
# 6: `side` of two sides in turn (before, the last letter of the run's id); the cell says the optimizer (before, Adam);
#    what a person should know of leaks is `dataset.leaks.notices` (before, `told`).
SCHEMA = 6


OK, FAILED, OUT_OF_MEMORY, TIMED_OUT, CRASHED, SKIPPED = (
    "ok",
    "failed",
    "out_of_memory",
    "timed_out",
    "crashed",
    "skipped",
)


class _EveryDataset(TypedDict):
    name: str
    checksum: str
    synthetic: bool
    images: dict[str, int]
    malignant: dict[str, int]
    groups: dict[str, int]
    notices: list[str]


class DatasetFacts(_EveryDataset, total=False):
    """What a record says of its data; never a path. Counts are by split. The last three since schema 4."""

    images_checksum: str
    grouped: bool
    leaks: dict[str, Any]


class Predictions(TypedDict):
    """What a record says of a split's images, one entry an image; None stands for NaN, of a model that diverged."""

    outputs: list[list[float | None]]
    scores: list[float | None]
    labels: list[int]
    groups: list[str]
    names: list[str]


class Cost(TypedDict):
    """Operations an image by layer type, and bytes."""

    forward_flops: dict[str, int]
    training_flops: dict[str, int]
    weight_bytes: int
    activation_bytes: int


class ModelFacts(TypedDict, total=False):
    """What a record says of its model."""

    parameters: int
    trainable_parameters: int
    head_padding: str
    initial_weights: str
    cost: Cost


class GpuState(TypedDict, total=False):
    """What a GPU said of itself during a regime; other readings stand beside these."""

    throttled: list[str]
    held_back_s: dict[str, float]


class Environment(TypedDict, total=False):
    """What a record says of where it was made; other facts stand beside these."""

    versions: dict[str, str]
    python: str
    commit: str | None
    dirty: bool | None
    code: str | None
    arithmetic: dict[str, str]
    lacking: str
    gpu_state: dict[str, GpuState]


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
            request for `request_s`; and those before them, the first epoch or windows that were not steady yet,
            `<regime>_warm_up_s`.
        history: by epoch: accuracy, loss (training mode), val_accuracy, val_loss, val_auroc (inference mode).
        predictions: by split (`val`, `test`): outputs [N, 2], scores, labels, groups and names, each a list.
        dataset: name, checksum, synthetic, images and groups by split, notices.
        model: parameters, trainable_parameters, head_padding, and `cost`: operations an image by layer type, bytes.
        weights: kind (`none`, `imagenet`, `file`) and the loaded file's sha256.
        environment: versions, machine, device, precision flags, arithmetic probed and what the hardware lacks of it,
            jit, compilation cache, commit, digest of the worker's source (`code`); on a GPU `gpu_state` by regime:
            clocks, temperature, throttling.
        started, ended: UTC, ISO 8601.
        block: of a run that measured two sides in turn, the round; empty elsewhere.
        side: of such a run, which side, `a` or `b`; empty elsewhere.
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
    predictions: dict[str, dict[str, list[Any]]] = dataclasses.field(default_factory=dict)
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: dict[str, Any] = dataclasses.field(default_factory=dict)
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    block: str = ""
    side: str = ""
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
            if "\\u" in line:
                json.dumps(values, ensure_ascii=False).encode()  # halves of a surrogate pair can't be written
        except (ValueError, RecursionError) as error:
            raise RecordError(f"not a line of JSON ({error}); it was torn or edited") from error
        schema = values.pop("schema", None) if isinstance(values, dict) else None
        if not isinstance(schema, int) or isinstance(schema, bool):
            raise RecordError("a line without a schema number; it is not a record of bcdl")
        if schema > SCHEMA:
            raise RecordError(f"schema {schema} is newer than this bcdl reads ({SCHEMA}); update bcdl")
        try:
            for older in range(schema, SCHEMA):
                _UPGRADES[older](values)
            found = cls(cell=Cell.from_dict(values.pop("cell")), **values)
            _check(found)
            return found
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(f"a record whose fields do not fit schema {schema} ({error})") from error


def _to_2(values: dict[str, Any]) -> None:
    values["block"] = ""


def _to_3(values: dict[str, Any]) -> None:
    values["environment"] = {**values.get("environment", {}), "code": None}


def _to_4(values: dict[str, Any]) -> None:
    before = {
        **{"head_epochs": 0, "keep": "last", "patience": 0, "class_weights": False, "batch_norm": "moving"},
        **{"split_by": "group", "folds": 0, "fold": 0, "timing": True},
    }
    values["cell"] = {**before, **values["cell"]}
    if values.get("predictions"):
        values["predictions"] = {"test": values["predictions"]}


def _to_5(values: dict[str, Any]) -> None:
    samples, metrics = values.get("samples") or {}, values.get("metrics") or {}
    epochs = samples.get("fit_s", [])
    if len(epochs) > 1:
        samples |= {"fit_warm_up_s": epochs[:1], "fit_s": epochs[1:]}
        if metrics.get("fit_images_per_s"):
            metrics["fit_images_per_s"] *= statistics.median(epochs) / statistics.median(epochs[1:])


def _to_6(values: dict[str, Any]) -> None:
    values["side"] = values["run"].rpartition("-")[2] if values.get("block") else ""
    values["cell"] = {"optimizer": "adam", **values["cell"]}
    leaks = (values.get("dataset") or {}).get("leaks")
    if isinstance(leaks, dict) and "told" in leaks:
        leaks["notices"] = leaks.pop("told")


# By the schema they lift a record from, to the next.
_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5, 5: _to_6}


_WORDS = ("run", "status", "reason", "started", "ended", "block", "side")


_SHAPES: dict[str, Any] = {
    **dict.fromkeys(_WORDS, str),
    "metrics": dict[str, float | None],
    "samples": dict[str, list[float]],
    "history": dict[str, list[float | None]],
    "predictions": dict[str, Predictions],
    "dataset": DatasetFacts,
    "model": ModelFacts,
    "weights": dict[str, Any],
    "environment": Environment,
    "log_tail": list[str],
}


def _check(record: Record) -> None:
    """ValueError where a field has not the shape that readers rely on; a part that was not reached may be empty."""
    for name, shape in _SHAPES.items():
        value = getattr(record, name)
        if not _fits(shape)(value) and (record.ok or shape is str or value != {}):
            raise ValueError(f"{name} is not what it should be: {str(value)[:60]}")
    if any(min(samples, default=1) <= 0 for samples in record.samples.values()):
        raise ValueError("samples hold a time that is not above 0 s")
    for split, found in record.predictions.items():
        if len(set(map(len, found.values()))) != 1 or not {0, 1}.issuperset(found["labels"]):
            raise ValueError(f"predictions of {split} are not one a label, 0 or 1")
        if any(len(outputs) != 2 for outputs in found["outputs"]):
            raise ValueError(f"predictions of {split} are not of two classes")


@functools.cache
def _fits(shape: Any) -> Callable[[Any], bool]:
    """A test of JSON values: whether one is of the type `shape`, through lists, dictionaries and unions."""
    if shape is Any:
        return lambda value: True
    if typing.is_typeddict(shape):
        required = shape.__required_keys__
        parts = {key: _fits(hint) for key, hint in typing.get_type_hints(shape).items()}
        return lambda value: (
            isinstance(value, dict)
            and required <= value.keys()
            and all(fits(value[key]) for key, fits in parts.items() if key in value)
        )
    if typing.get_origin(shape) is list:
        each = _all_fit(typing.get_args(shape)[0])
        return lambda value: isinstance(value, list) and each(value)
    if typing.get_origin(shape) is dict:
        each = _all_fit(typing.get_args(shape)[1])
        return lambda value: isinstance(value, dict) and each(value.values())
    each = _all_fit(shape)
    return lambda value: each((value,))


def _all_fit(shape: Any) -> Callable[[Collection[Any]], bool]:
    """A test whether all of some JSON values are of the type `shape`: of numbers and words without a call for each."""
    kinds = _scalar_types(shape)
    if not kinds:
        fits = _fits(shape)
        return lambda values: all(map(fits, values))
    if kinds & {int, float}:
        # None and 0 need no further look; integers too large for a float raise OverflowError.
        return lambda values: kinds.issuperset(map(type, values)) and all(map(math.isfinite, filter(None, values)))
    return lambda values: kinds.issuperset(map(type, values))


def _scalar_types(shape: Any) -> frozenset[type]:
    """The types that JSON's numbers and words have where they are a `shape`; none where it is something else."""
    parts = typing.get_args(shape) if isinstance(shape, types.UnionType) else (shape,)
    found: set[type] = {int} if float in parts else set()
    return frozenset(found.union(parts)) if set(parts) <= {str, int, float, bool, types.NoneType} else frozenset()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
