"""What this process's backend computes of one model, in the arithmetic under test."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np

from bcdl.backends import Backend
from bcdl.parity.dumps import Dump, relative
from bcdl.parity.settings import REPEATED_STEPS, STEPS, Plan
from bcdl.parity.worker import checkpoints, instrumented, rounding
from bcdl.parity.worker.instrumented import Steps, Trunk
from bcdl.records import store
from bcdl.worker import network, timing
from bcdl.worker.input_pipeline import InputPipeline
from bcdl.worker.network import weights_checksum
from bcdl.worker.snapshot import Snapshot

_FOOD_EPOCHS = 2


def dump(plan: Plan, adapter: Backend, into: Dump, perturbed: bool) -> None:
    """Write the plan's dump on this backend; `perturbed`: also the runs that tell the size of chaos."""
    started = store.now()
    opened = instrumented.build(plan)
    model, (pixels, _) = opened.model, opened.batches[0]
    start = Snapshot(model)
    facts: dict[str, Any] = {"start": weights_checksum(model), "food": _food(adapter, opened.feed)}

    training_walk = instrumented.walk(model, pixels, training=True)
    start.restore()
    instrumented.settle(opened, training_walk)
    facts["settled"] = weights_checksum(model)
    vectors = {
        "pixels": [("preprocess", pixels)],
        "outputs": [("scores", instrumented.outputs(model, adapter, pixels))],
        "inference_layers": instrumented.walk(model, pixels, training=False),
        "frozen_gradient": instrumented.frozen_gradient(opened),
        "training_layers": training_walk,
        "training_outputs": training_walk[-1:],
    }
    elapsed = timing.stopwatch()
    steps = instrumented.train(model, opened.batches, start)
    facts["steps_s"] = elapsed()
    facts["losses"] = steps.losses
    facts["repeats_itself"] = repeats_itself(opened, start, steps)
    facts["chaos"] = [_chaos(opened, start, steps, draw) for draw in range(plan.draws)] if perturbed else []
    vectors |= {"gradient": steps.gradient, "statistics": steps.statistics}
    vectors |= {f"weights_{step}": [("weights", weights)] for step, weights in steps.weights.items()}
    facts["layers"] = {layer.name: type(layer).__name__ for layer in network.every_layer(model)}
    facts["resumed"] = checkpoints.save(opened, start, into.checkpoint)
    into.write(vectors, facts | instrumented.provenance(opened, adapter, started))


def _food(adapter: Backend, feed: InputPipeline) -> list[str]:
    """SHA-256 of the uint8 images and labels that reach the backend, an epoch each, through its own stream."""
    batches = iter(adapter.stream(feed.stream()))
    return [_checksum(itertools.islice(batches, feed.steps_per_epoch)) for _ in range(_FOOD_EPOCHS)]


def _checksum(batches: Any) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        for array in batch:
            digest.update(np.ascontiguousarray(instrumented.to_numpy(array)).tobytes())
    return digest.hexdigest()


def repeats_itself(opened: Trunk, start: Snapshot, steps: Steps) -> bool:
    """Whether the first steps, run again in this process, give the same bits."""
    again = instrumented.train(opened.model, opened.batches[:REPEATED_STEPS], start)
    same_weights = np.array_equal(again.weights[REPEATED_STEPS], steps.weights[REPEATED_STEPS])
    return same_weights and again.losses == steps.losses[:REPEATED_STEPS]


def _chaos(opened: Trunk, start: Snapshot, steps: Steps, draw: int) -> dict[str, dict[str, float]]:
    """How far a run from pixels moved by one float32 ulp drifts from the run from the pixels themselves."""
    generator = rounding.stream(opened.plan, draw)
    batches = [(rounding.one_ulp(pixels, generator), labels) for pixels, labels in opened.batches]
    run = instrumented.train(opened.model, batches, start)
    return {
        "weights": {
            str(n): relative(run.weights[n] - steps.weights[n], steps.weights[n] - steps.weights[0]) for n in STEPS
        },
        "loss": {str(n): abs(run.losses[n - 1] - steps.losses[n - 1]) for n in STEPS},
    }
