"""Dumps made up for tests of what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bcdl.parity import references
from bcdl.parity.dumps import dump_of, write_layer_checks
from bcdl.parity.findings import Finding
from bcdl.parity.judge import judge
from bcdl.parity.references import batch_digest, default_folder
from bcdl.parity.settings import STEPS, UNIT_ROUNDOFF, Plan, least_tolerance

RUN = "20260101T000000Z-0000"
PLAN = Plan("cnn", image_size=32, batch_size=4, seed=0, precision="float32", device="cpu", draws=1)
LAYERS = ("first", "second", "third")
ROUNDING = 1e-5
ENVIRONMENT: Any = {"versions": {"keras": "3.15.1"}}
IMAGES, LABELS = np.zeros((4, 32, 32, 3), np.uint8), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]


def vectors(layers: dict[str, float], gradient: float = 0.0) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Vectors of ones, the layers named in `layers` (and the gradient) off by a share."""
    walk = [(name, np.full(4, 1 + layers.get(name, 0.0))) for name in LAYERS]
    off = layers.get(LAYERS[-1], 0.0)
    parts = {
        "pixels": [("preprocess", np.ones(4))],
        "outputs": [("scores", np.full(2, 1 + off))],
        "inference_layers": walk,
        "training_layers": walk,
        "training_outputs": walk[-1:],
        "frozen_gradient": [(f"net/{name}/kernel", np.ones(2)) for name in LAYERS],
        "gradient": [(f"net/{name}/kernel", np.full(2, 1 + gradient)) for name in LAYERS],
        "statistics": [("net/second/moving_mean", np.ones(2))],
    }
    return parts | {f"weights_{step}": [("weights", np.full(3, 1.0 + step))] for step in (0, *STEPS)}


def write(results: Path, backend: str, layers: dict[str, float] | None = None, of: Plan = PLAN, **changes: Any) -> None:
    """The dump of a backend, its vectors off as in `vectors`, with `changes` to its facts."""
    resumed: Any = {"state": "s", "outputs": [[0.5, 0.5]], "resumed_loss": 0.7, "resumed_outputs": [[0.4, 0.6]]}
    facts: Any = {
        "start": "a",
        "definition": "e",
        "first_batch": batch_digest(IMAGES, LABELS),
        "batches": ["b"],
        "settled": "c",
        "losses": [0.7] * max(STEPS),
        "repeats_itself": True,
        "steps_s": 1.0,
        "chaos": [],
        "resumed": resumed,
        "layers": dict.fromkeys(LAYERS, "Conv2D"),
        "plan": of.to_dict(),
        "dataset": {"name": "synthetic-72", "checksum": "d" * 64},
        "started": "2026-01-01T00:00:00.000+00:00",
        "ended": "2026-01-01T00:01:00.000+00:00",
        "environment": ENVIRONMENT,
    }
    dump = dump_of(results, of, backend)
    dump.write(vectors(layers or {}, changes.pop("gradient", 0.0)), facts | changes)
    dump.write_loaded({backend: {**resumed, "loads_as_it_is": True}})
    write_layer_checks(results, of.precision, backend, {"Conv2D": 1e-8})


def write_reference(
    results: Path,
    moved_by: float = ROUNDING,
    parts: Any = None,
    whole: dict[str, float] | None = None,
    layers: dict[str, list[float]] | None = None,
    of: Plan = PLAN,
    **changes: Any,
) -> Path:
    """The file of the reference, of vectors of ones; `changes` are those to its facts.

    Rounding moves each by `moved_by`, but for the vectors in `whole` and the parts of those in `layers`.
    """
    parts = {name: named for name, named in vectors({}).items() if not name.startswith("weights")} | (parts or {})
    moved = {
        "loss": moved_by,
        "whole": dict.fromkeys(parts, moved_by) | (whole or {}),
        "parts": {name: [moved_by] * len(named) for name, named in parts.items()} | (layers or {}),
    }
    facts: Any = {
        "backend": "tensorflow",
        "worst_layer_check": 1e-15,
        "gradient_check": 1e-8,
        "start": "a",
        "definition": "e",
        "settled": "c",
        "sizes": {},
        "loss": 0.7,
        "rounding": {each: {**moved, "moved": least_tolerance(each)} for each in UNIT_ROUNDOFF},
        "plan": of.subject,
        "dataset": {"name": "synthetic-72", "checksum": "d" * 64},
        "started": "2026-01-01T00:00:00.000+00:00",
        "ended": "2026-01-01T00:01:00.000+00:00",
        "environment": ENVIRONMENT,
    }
    return references.write(default_folder(results), of, facts | changes, IMAGES, LABELS, parts)


def judged(results: Path, plan: Plan = PLAN) -> Finding:
    """The finding from what was written."""
    return judge(results, default_folder(results), plan, RUN)
