"""The schemas of records: their history, and upgrades from older ones."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

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
    "measured how fast the system hands out pages: now `copy_bytes_per_s`, and no limit. Of the environment, and "
    "unknown in older records: `identity`, the facts that make the machine this one; `cpu_quota_cores`, a container's; "
    "`variables`, those set that frameworks read; `threads`, of the backend's pools; `clock_mhz`, `hypervisor` and "
    "`gpu_uuids`, for information; `code_changed`, whether files of the worker changed while it ran. "
    "`sequence`, the record's count in its results folder; 0 in older ones. `environment.disturbance`, what else "
    "happened while each regime was timed, `environment.clock`, how the time of day moved, and `input_images_per_s`, "
    "the input pipeline's own rate; absent in older ones",
    9: "what a GPU is, has and does, by rows that are absent in older records",
    10: "`dataset.ungrouped`, `dataset.rules`, `dataset.source`, `dataset.benign_groups`, `dataset.malignant_groups`; "
    "`dataset.grouped` is true only if every image's group is known, before if any was. `status` may be `diverged`; "
    "before, such a cell was ok, or failed on torch",
    11: "`sha256`, the digest of the rest of the line but `sequence`; older lines have none. `dataset.names`: names of "
    "images and groups of a folder are hashed, unless `--keep-names` was given; before, they were kept",
    12: "metrics of the validation images by the weights that were kept (`val_accuracy` and others); before, those of "
    "each epoch alone, in `history`",
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


def _to_10(values: dict[str, Any]) -> None:
    predictions = values.get("predictions") or {}
    given = [outputs for split in predictions.values() for image in split.get("outputs", ()) for outputs in image]
    if values["status"] == "ok" and None in given:  # NaN, or infinite
        values["status"] = "diverged"
        values["reason"] = "the training diverged: outputs are no finite numbers; use a smaller --learning-rate"
        values["metrics"] = {
            k: v for k, v in values["metrics"].items() if not k.endswith(("accuracy", "auroc", "loss"))
        }
        values["predictions"] = {}


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
    9: _to_10,
}
