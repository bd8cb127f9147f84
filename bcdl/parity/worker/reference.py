"""One model in float64, and how far rounding alone moves what it computes.

Rounding in lower precision acts like small changes of the weights and the input (backward error: Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., 2002, section 1.5). So each draw moves every weight
and pixel by `settings.MOVED_ULPS` units in the last place, up or down, and computes again in float64, for each
precision anew. The largest relative change over the draws is what rounding may do in this model, quantity by quantity
and layer by layer.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.parity import references
from bcdl.parity.dumps import relative
from bcdl.parity.references import ReferenceFacts, Rounding
from bcdl.parity.settings import UNIT_ROUNDOFF, Plan, least_tolerance
from bcdl.parity.worker import instrumented, rounding
from bcdl.parity.worker.instrumented import Instrumented, Parts
from bcdl.records import quality
from bcdl.records.moment import now
from bcdl.worker.input_pipeline import Batch
from bcdl.worker.network import weights_checksum
from bcdl.worker.snapshot import Snapshot

# Of the central difference; its error is of the order of the square of this, plus 1e-16 over it.
_DIFFERENCE_STEP = 1e-6


def make(plan: Plan, adapter: Backend, folder: Path, worst_layer_check: float) -> Path:
    """Write the plan's reference into the folder, and return its file.

    It has the vectors of a dump in float64, and what rounding in each precision may do to each. `worst_layer_check` is
    the largest relative error of this backend's float64 against NumPy, which is kept with it.
    """
    started = now()
    subject = instrumented.build(plan)
    model, batch = subject.model, subject.batches[0]
    start, start_checksum = Snapshot(model), weights_checksum(model)
    training_walk = instrumented.walk(model, batch[0], training=True)
    start.restore()
    sizes = instrumented.settle(subject, training_walk)
    settled = Snapshot(model)
    settled_checksum = weights_checksum(model)
    vectors, loss = _vectors(subject, adapter, start, settled)
    facts: ReferenceFacts = {
        "backend": adapter.name,
        "worst_layer_check": worst_layer_check,
        "loss": loss,
        "start": start_checksum,
        "settled": settled_checksum,
        "definition": subject.definition,
        "sizes": sizes,
        "rounding": {
            precision: _rounding(subject, adapter, least_tolerance(precision), start, settled, vectors, loss)
            for precision in UNIT_ROUNDOFF
        },
        "gradient_check": _gradient_check(model, batch, start, vectors["gradient"]),
        **instrumented.provenance(subject, adapter, started),
        "plan": plan.subject,
    }
    return references.write(folder, plan, facts, *subject.first, vectors)


def _vectors(
    subject: Instrumented, adapter: Backend, start: Snapshot, settled: Snapshot
) -> tuple[dict[str, Parts], float]:
    """The vectors of a dump, computed from these two states and the first batch; and the training loss, nats."""
    model, pixels = subject.model, subject.batches[0][0]
    settled.restore()
    vectors = {
        "outputs": [("scores", instrumented.outputs(model, adapter, pixels))],
        "inference_layers": instrumented.walk(model, pixels, training=False),
        "frozen_gradient": instrumented.frozen_gradient(subject),
    }
    start.restore()
    vectors["training_layers"] = instrumented.walk(model, pixels, training=True)
    vectors["training_outputs"] = vectors["training_layers"][-1:]
    steps = instrumented.train(model, subject.batches[:1], start)
    return {**vectors, "gradient": steps.gradient, "statistics": steps.statistics}, steps.losses[0]


def _rounding(
    subject: Instrumented,
    adapter: Backend,
    roundoff: float,
    start: Snapshot,
    settled: Snapshot,
    vectors: dict[str, Parts],
    loss: float,
) -> Rounding:
    """The largest relative change over the draws, of weights and pixels moved by twice `roundoff`."""
    largest: Rounding = {
        "moved": roundoff,
        "loss": 0.0,
        "whole": dict.fromkeys(vectors, 0.0),
        "parts": {name: [0.0] * len(parts) for name, parts in vectors.items()},
    }
    for draw in range(subject.plan.draws):
        generator = rounding.stream(subject.plan, draw)
        pixels, labels = subject.batches[0]
        nudged = dataclasses.replace(subject, batches=[(rounding.rounded(pixels, roundoff, generator), labels)])
        moved = [_moved(state, len(subject.model.variables), roundoff, generator) for state in (start, settled)]
        perturbed, moved_loss = _vectors(nudged, adapter, *moved)
        largest["loss"] = max(largest["loss"], abs(moved_loss - loss) / abs(loss))
        for name, parts in vectors.items():
            # Norms part by part: the gradient of the largest model, copied whole, would be gigabytes.
            norms = [
                (np.linalg.norm(new - old), np.linalg.norm(old))
                for (_, new), (_, old) in zip(perturbed.pop(name), parts, strict=True)
            ]
            changes, sizes = np.array(norms).T
            largest["whole"][name] = max(largest["whole"][name], relative(changes, sizes))
            largest["parts"][name] = list(map(max, largest["parts"][name], map(relative, changes, sizes)))
    return largest


def _moved(state: Snapshot, weights: int, roundoff: float, generator: np.random.Generator) -> Snapshot:
    """The state with its first `weights` values, those of the model, moved by rounding."""
    values = [
        rounding.rounded(value, roundoff, generator) if place < weights and value.dtype.kind == "f" else value
        for place, value in enumerate(state.values)
    ]
    return state.replaced(values)


def _gradient_check(model: keras.Model, batch: Batch, start: Snapshot, gradient: Parts) -> float:
    """Relative gap between the gradient and a central difference of the loss along the gradient.

    Along the gradient g the derivative of the loss is its norm |g|.
    """
    flat = [part for _, part in gradient]
    norm = float(np.linalg.norm([np.linalg.norm(part) for part in flat]))
    losses = []
    for sign in (1, -1):
        start.restore()
        for variable, part in zip(model.trainable_variables, flat, strict=True):
            variable.assign(instrumented.to_numpy(variable) + sign * _DIFFERENCE_STEP * part / norm)
        outputs = instrumented.to_numpy(model(batch[0], training=True))
        losses.append(quality.loss(outputs, batch[1].argmax(axis=1)))
    start.restore()
    return abs((losses[0] - losses[1]) / (2 * _DIFFERENCE_STEP) - norm) / norm
