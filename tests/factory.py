"""Cells, jobs and records made up for tests of the plumbing."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import numpy as np

from bcdl import datasets
from bcdl.records import quality
from bcdl.records.experiment import Experiment
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.settings.options import resolve

EXPERIMENT = Experiment(
    "20261124T142328Z-af84",
    "A name",
    "cnn on torch",
    ("plain", "other"),
    [10.0, 11.0, 10.5],
    [5.0, 5.5, 5.2],
    {"commit": "0123456789abcdef", "dirty": False, "versions": {"keras": "3.15.1"}},
)

STARTED, ENDED = "2026-01-01T00:00:00.000+00:00", "2026-01-01T00:01:00.000+00:00"

OPTIONS: dict[str, Any] = {
    "profile": "smoke",
    "device": "cpu",
    "skip_unreadable": False,
}


def cell(**changes: Any) -> Cell:
    """A smoke cell of the CNN on torch, with `changes`; settings that are not named here have the defaults of rows."""
    defaults = {name: row.default for name, row in Cell.rows().items()}
    values = {
        "model": "cnn",
        "backend": "torch",
        "device": "cpu",
        "profile": "smoke",
        "data": "synthetic-48",
        "image_size": 32,
        "batch_size": 4,
        "epochs": 2,
        "weights": "none",
        "seed": 0,
        "fold": 0,
        "windows": 3,
        "window_steps": 1,
    }
    return Cell(**{**defaults, **values, **changes})


def job(data: str = "synthetic-48", **changes: Any) -> Job:
    return Job(cell(**changes), data, None, False)


def jobs(backend: str, models: str | None = None, **options: Any) -> list[Job]:
    """The jobs that these options resolve to."""
    return resolve({**OPTIONS, **options}, backend, models)


@functools.cache
def drawings_checksum() -> str:
    """Of the data set that these cells are of."""
    return datasets.load(datasets.Request("synthetic-48", image_size=32, split_seed=0)).checksum


def record(run: str = "20260101T000000Z-0000", status: str = "ok", **changes: Any) -> Record:
    """A record of a small run, with `changes` to its cell."""
    of = cell(**changes)
    if status != "ok":
        return Record(run, status, "it was made to fail", of, STARTED, ENDED)
    made = Record(
        run=run,
        status=status,
        reason="",
        cell=of,
        started=STARTED,
        ended=ENDED,
        metrics={
            "test_accuracy": 0.75,
            "test_auroc": 0.8,
            "test_loss": 0.5,
            "test_majority_accuracy": 0.625,
            "import_s": 2.0,
            "build_s": 1.0,
            "step_warm_up_s": 0.5,
            "request_warm_up_s": 0.75,
            "first_step_s": 1.5,
            "peak_memory_mib": 512.0,
            "product_flops_per_s": 1e11,
            "memory_bytes_per_s": 1e10,
            "train_mode_accuracy": 0.9,
            "inference_mode_accuracy": 0.5,
        },
        history={
            name: [0.5, *[0.6] * (of.epochs - 1)]
            for name in ("accuracy", "loss", "val_accuracy", "val_loss", "val_auroc")
        },
        dataset={
            "name": "synthetic-48",
            "checksum": drawings_checksum(),
            "synthetic": True,
            "images": {"train": 24, "val": 12, "test": 12},
            "malignant": {"train": 16, "val": 6, "test": 8},
            "groups": {"train": 6, "val": 3, "test": 3},
            "notices": [],
        },
        model={
            "cost": {
                "forward_flops": {"Conv2D": 80_000_000, "Dense": 1_000_000},
                "training_flops": {"Conv2D": 230_000_000, "Dense": 3_000_000},
                "weight_bytes": 400_000,
                "activation_bytes": 2_000_000,
            }
        },
        environment={
            "versions": {"keras": "3.15.1"},
            "python": "3.11.7",
            "jit_compile": False,
            "commit": "f" * 40,
            "dirty": False,
        },
    )
    return with_rates(made, fit=100.0, step=120.0, predict=480.0, request=80.0)


def as_of_older(made: Record) -> dict[str, Any]:
    """The values of the record's line as an older bcdl wrote it, which named no digest: a test may change them."""
    values = json.loads(made.to_json())
    del values["sha256"]
    return {**values, "schema": 10}


def with_predictions(made: Record, predictions: dict[str, dict[str, list[Any]]]) -> Record:
    """The record with predictions by split, and the metrics and counts that follow from them."""
    metrics, dataset = dict(made.metrics), dict(made.dataset)
    for split, columns in predictions.items():
        labels, outputs = np.asarray(columns["labels"]), np.asarray(columns["outputs"], dtype=np.float64)
        counts = {"images": len(labels), "malignant": int(labels.sum()), "groups": len(set(columns["groups"]))}
        dataset |= {name: {**dataset[name], split: count} for name, count in counts.items()}
        if split == "test":
            metrics |= quality.measure(split, outputs, labels)
            metrics["test_majority_accuracy"] = quality.majority_accuracy(labels)
    return dataclasses.replace(made, predictions=predictions, metrics=metrics, dataset=dataset)


def with_rates(made: Record, **rates: float) -> Record:
    """The record with these rates, images/s by regime, and samples that give them."""
    metrics, samples = dict(made.metrics), dict(made.samples)
    for regime, rate in rates.items():
        images, count = _images_and_samples(made, regime)
        samples[f"{regime}_s"] = [images / rate] * count
        metrics[f"{regime}_images_per_s"] = rate
        metrics |= {"latency_ms": 1e3 / rate} if regime == "request" else {}
    return dataclasses.replace(made, metrics=metrics, samples=samples)


def _images_and_samples(made: Record, regime: str) -> tuple[int, int]:
    """How many images a sample of the regime is of, and how many samples there are."""
    of = made.cell
    if regime == "fit":
        return made.dataset["images"]["train"] // of.batch_size * of.batch_size, of.epochs
    return (1 if regime == "request" else of.window_steps * of.batch_size), of.windows
