"""Dumps what this process's backend computes of one model, in the arithmetic under test."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from typing import Any, TypedDict

import numpy as np

from bcdl.backends import Backend
from bcdl.machine.clock import stopwatch
from bcdl.parity import references
from bcdl.parity.dumps import BackendFacts, Dump, Parts, relative
from bcdl.parity.findings import Draw
from bcdl.parity.references import Reference
from bcdl.parity.settings import REPEATED_STEPS, STEPS, Plan
from bcdl.parity.worker import checkpoints, instrumented, rounding
from bcdl.parity.worker.instrumented import Instrumented, Steps
from bcdl.records.moment import now
from bcdl.worker import network
from bcdl.worker.input_pipeline import InputPipeline
from bcdl.worker.network import weights_checksum
from bcdl.worker.snapshot import Snapshot

# Epochs whose batches are compared: the second has another order and other augmentation.
_EPOCHS_COMPARED = 2


class _Inputs(TypedDict):
    """Digests of what the vectors are computed from, as in `BackendFacts`."""

    start: str
    definition: str
    first_batch: str


def dump(plan: Plan, adapter: Backend, into: Dump, reference: Reference | None, perturbed: bool) -> None:
    """Write the plan's dump on this backend; `perturbed` adds the runs that show the size of chaos.

    It begins with the images and the sizes of the reference, if there is one. Raises UsageError if that was not made
    from the same weights and model.
    """
    started = now()
    subject = instrumented.build(plan, (reference.images, reference.labels) if reference else None)
    model, (pixels, _) = subject.model, subject.batches[0]
    start = Snapshot(model)
    inputs: _Inputs = {
        "start": weights_checksum(model),
        "definition": subject.definition,
        "first_batch": references.batch_digest(*subject.first),
    }
    if reference:
        references.check(reference, plan, inputs, f"this dump of {adapter.name}")
    batches = _batches(adapter, subject.pipeline)

    training_walk = instrumented.walk(model, pixels, training=True)
    start.restore()
    instrumented.settle(subject, training_walk, reference.facts["sizes"] if reference else None)
    settled_checksum = weights_checksum(model)
    vectors: dict[str, Parts] = {
        "pixels": [("preprocess", pixels)],
        "outputs": [("scores", instrumented.outputs(model, adapter, pixels))],
        "inference_layers": instrumented.walk(model, pixels, training=False),
        "frozen_gradient": instrumented.frozen_gradient(subject),
        "training_layers": training_walk,
        "training_outputs": training_walk[-1:],
    }
    elapsed = stopwatch()
    steps = instrumented.train(model, subject.batches, start)
    steps_s = elapsed()
    vectors |= {"gradient": steps.gradient, "statistics": steps.statistics}
    vectors |= {f"weights_{step}": [("weights", weights)] for step, weights in steps.weights.items()}
    facts: BackendFacts = {
        **inputs,
        "settled": settled_checksum,
        "batches": batches,
        "losses": steps.losses,
        "steps_s": steps_s,
        "repeats_itself": repeats_itself(subject, start, steps),
        "chaos": [_perturbed_run(subject, start, steps, draw) for draw in range(plan.draws)] if perturbed else [],
        "layers": {layer.name: type(layer).__name__ for layer in network.every_layer(model)},
        "resumed": checkpoints.save(subject, start, into.checkpoint),
        **instrumented.provenance(subject, adapter, started),
    }
    into.write(vectors, facts)


def repeats_itself(subject: Instrumented, start: Snapshot, steps: Steps) -> bool:
    """Whether the first steps, run again in this process, give the same bits."""
    again = instrumented.train(subject.model, subject.batches[:REPEATED_STEPS], start)
    same_weights = np.array_equal(again.weights[REPEATED_STEPS], steps.weights[REPEATED_STEPS])
    return same_weights and again.losses == steps.losses[:REPEATED_STEPS]


def _batches(adapter: Backend, pipeline: InputPipeline) -> list[str]:
    """SHA-256 of the uint8 images and labels that reach the backend through its own stream, one an epoch."""
    batches = iter(adapter.stream(pipeline.stream()))
    return [_checksum(itertools.islice(batches, pipeline.steps_per_epoch)) for _ in range(_EPOCHS_COMPARED)]


def _checksum(batches: Iterable[tuple[Any, Any]]) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        for array in batch:
            digest.update(np.ascontiguousarray(instrumented.to_numpy(array)).tobytes())
    return digest.hexdigest()


def _perturbed_run(subject: Instrumented, start: Snapshot, steps: Steps, draw: int) -> Draw:
    """How far a run whose pixels are moved by one ulp drifts from the run of the pixels themselves."""
    generator = rounding.stream(subject.plan, draw)
    batches = [
        (rounding.one_ulp(pixels, subject.plan.precision, generator), labels) for pixels, labels in subject.batches
    ]
    run = instrumented.train(subject.model, batches, start)
    return {
        "weights": {
            str(n): relative(run.weights[n] - steps.weights[n], steps.weights[n] - steps.weights[0]) for n in STEPS
        },
        "loss": {str(n): abs(run.losses[n - 1] - steps.losses[n - 1]) for n in STEPS},
    }
