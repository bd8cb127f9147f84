"""The schemas of records: their history, upgrades from older ones, and the shapes that readers rely on."""

from __future__ import annotations

import functools
import math
import statistics
import types
import typing
from collections.abc import Callable, Collection
from typing import Any, TypedDict

from bcdl.settings.cell import Cell

# What came with each schema, settings of the cell excepted: their rows name the schema that they came with (`since`)
# and the value of older records' cells (`before`).
HISTORY = {
    1: "the first schema",
    2: "`block`; empty in what schema 1 recorded",
    3: "`environment.code`, which source the worker ran; None in what schemas 1 and 2 recorded",
    4: "predictions by split, of validation and test; before, only those of the test split. "
    "`dataset.images_checksum`, of the images whatever their split, and `dataset.leaks`, what stands on both its sides",
    5: "the first epoch is `fit_warm_up_s`, if there are others; before, it counted in `fit_s` and its rate",
    6: "`side` of two sides in turn; before, the last letter of the run's id. What a person should know of leaks is "
    "`dataset.leaks.notices`; before, `told`",
    7: "`phases`, seconds of each phase; empty in what older schemas recorded. `environment.process`, how many cells "
    "its worker had measured before (`cells_before`); before, every cell had a process of its own",
    8: "`product_flops_per_s`, `convolution_flops_per_s` and `memory_bytes_per_s`, what the device gives at most; "
    "before, that of a product alone, `peak_flops_per_s`, and a copy into new memory, `peak_bytes_per_s`, which "
    "measured how fast the system hands out pages: now `copy_bytes_per_s`, and no limit. "
    "`sequence`, the record's count in its results folder; 0 in older ones. `environment.disturbance`, what else "
    "happened while each regime was timed, `environment.clock`, how the time of day moved, and `input_images_per_s`, "
    "the input pipeline's own rate; absent in older ones",
}
SCHEMA = max(*HISTORY, *(row.since for row in Cell.rows().values()))


def upgrade(values: dict[str, Any], schema: int) -> None:
    """Lift the values of a record from an older schema to today's, in place.

    Raises:
        KeyError, TypeError, AttributeError: there never was such a schema, or the values are not those of a record.
    """
    if schema < 1:
        raise KeyError(f"there is no schema {schema}")
    for older in range(schema, SCHEMA):
        _UPGRADES.get(older, _no_change)(values)
    values["cell"] = Cell.upgraded(values["cell"], schema)


def _to_2(values: dict[str, Any]) -> None:
    values["block"] = ""


def _to_3(values: dict[str, Any]) -> None:
    values["environment"] = {**values.get("environment", {}), "code": None}


def _to_4(values: dict[str, Any]) -> None:
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
    leaks = (values.get("dataset") or {}).get("leaks")
    if isinstance(leaks, dict) and "told" in leaks:
        leaks["notices"] = leaks.pop("told")


def _to_7(values: dict[str, Any]) -> None:
    values["phases"] = {}


def _to_8(values: dict[str, Any]) -> None:
    metrics = values.get("metrics") or {}
    names = {"peak_flops_per_s": "product_flops_per_s", "peak_bytes_per_s": "copy_bytes_per_s"}
    values["metrics"] = {names.get(name, name): value for name, value in metrics.items()}


def _no_change(values: dict[str, Any]) -> None:
    """The upgrade from a schema after which only settings of the cell came."""


# Each lifts a record to the next schema, by the schema that it has.
_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {
    1: _to_2,
    2: _to_3,
    3: _to_4,
    4: _to_5,
    5: _to_6,
    6: _to_7,
    7: _to_8,
}


class _EveryDataset(TypedDict):
    name: str
    checksum: str
    synthetic: bool
    images: dict[str, int]
    malignant: dict[str, int]
    groups: dict[str, int]
    notices: list[str]


class DatasetFacts(_EveryDataset, total=False):
    """What a record says of its data; never a path. Counts are by split. Older records lack the last three."""

    images_checksum: str
    grouped: bool
    leaks: dict[str, Any]


class Predictions(TypedDict):
    """What a record says of a split's images, an entry for each; None stands for NaN, of a model that diverged."""

    outputs: list[list[float | None]]
    scores: list[float | None]
    labels: list[int]
    groups: list[str]
    names: list[str]


class Cost(TypedDict):
    """Operations for one image by type of layer, and bytes: of all weights, and of one image's layer outputs."""

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
    """What a GPU reported during a regime: reasons of throttling, and seconds of each; other readings may follow."""

    throttled: list[str]
    held_back_s: dict[str, float]


class Disturbance(TypedDict, total=False):
    """What else happened while a regime was timed, its warm-up included; what the system does not report is absent.

    Seconds: `wall_s` of the regime; `processor_s` that its process worked, all threads together; `machine_s` of all
    processors together; `others_s` of these for other processes, `steal_s` for other guests of the host, and `quota_s`
    kept back by a container's quota; `heat_s`, the processor slowed down for its heat; `asleep_s`, the machine
    suspended. `load` is its load, a mean of a minute, before and after. Counts: `involuntary_switches` to another
    process or thread, `major_faults`, pages waited for, `stops` of the process, and `other_runs`, processes that
    measured for bcdl beside this one.
    """

    wall_s: float
    processor_s: float
    machine_s: float
    others_s: float
    steal_s: float
    quota_s: float
    heat_s: float
    asleep_s: float
    load: list[float]
    involuntary_switches: int
    major_faults: int
    stops: int
    other_runs: int


class ClockFacts(TypedDict, total=False):
    """How the time of day moved: seconds by which it was set forward while the cell ran, negative if back; and by how
    much it was behind the end of an earlier record when the run began.
    """

    jumped_s: float
    behind_s: float


class Environment(TypedDict, total=False):
    """What a record says of the machine and the code that made it; other facts may follow."""

    versions: dict[str, str]
    python: str
    commit: str | None
    dirty: bool | None
    code: str | None
    arithmetic: dict[str, str]
    lacking: str
    process: dict[str, int]
    gpu_state: dict[str, GpuState]
    disturbance: dict[str, Disturbance]
    clock: ClockFacts


@functools.cache
def fits(shape: Any) -> Callable[[Any], bool]:
    """A test whether a JSON value is of the type `shape`: a TypedDict, list, dict, union or simple type."""
    if shape is Any:
        return lambda value: True
    if typing.is_typeddict(shape):
        required = shape.__required_keys__
        parts = {key: fits(hint) for key, hint in typing.get_type_hints(shape).items()}
        return lambda value: (
            isinstance(value, dict)
            and required <= value.keys()
            and all(part(value[key]) for key, part in parts.items() if key in value)
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
    """A test whether all JSON values of a collection are of the type `shape`; without a call for each simple value."""
    kinds = _scalar_types(shape)
    if not kinds:
        each = fits(shape)
        return lambda values: all(map(each, values))
    if kinds & {int, float}:
        # None and 0 need no further look; integers too large for a float raise OverflowError.
        return lambda values: kinds.issuperset(map(type, values)) and all(map(math.isfinite, filter(None, values)))
    return lambda values: kinds.issuperset(map(type, values))


def _scalar_types(shape: Any) -> frozenset[type]:
    """The types that a simple JSON value may have to be of the type `shape`; empty if that is no simple type."""
    parts = typing.get_args(shape) if isinstance(shape, types.UnionType) else (shape,)
    integers: set[type] = {int} if float in parts else set()
    return frozenset(integers.union(parts)) if set(parts) <= {str, int, float, bool, types.NoneType} else frozenset()
