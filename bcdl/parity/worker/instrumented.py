"""A model that shows the output of each of its layers and how training moves its weights; without preprocessing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import keras
import numpy as np

from bcdl import datasets
from bcdl.backends import Backend
from bcdl.machine import hardware
from bcdl.machine.provenance import changed, commit
from bcdl.parity.dumps import Provenance
from bcdl.parity.findings import DatasetFacts
from bcdl.parity.settings import DATA, LEARNING_RATE, MOMENTUM, STEPS, Plan
from bcdl.records.moment import now
from bcdl.records.shapes import Environment
from bcdl.settings.models import find
from bcdl.worker import network
from bcdl.worker.initial_weights import draw_initial_weights
from bcdl.worker.input_pipeline import Batch, InputPipeline
from bcdl.worker.snapshot import Snapshot

Parts = list[tuple[str, np.ndarray]]
# Key of the random stream that perturbs batch norms; `initial_weights` uses the places 0, 1, 2, ... with the same seed.
_SETTLING = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Instrumented:
    """A model without its preprocessing, ready to train by SGD, dropout off; and its batches.

    Attributes:
        plan: what it was built for.
        model: from float32 pixels [B, S, S, 3] to outputs [B, 2]; shares its layers with the whole model.
        frozen: the same layers, to be trained with every batch norm in inference mode.
        definition: digest of the whole model's configuration, preprocessing included.
        pipeline: gives the batches before preprocessing.
        first: (images [B, S, S, 3] uint8, one-hot labels [B, 2] float32) of the first step.
        batches: (preprocessed pixels [B, S, S, 3] float32, one-hot labels [B, 2] float32), one a step.
        dataset: of the images.
    """

    plan: Plan
    model: keras.Model
    frozen: keras.Model
    definition: str
    pipeline: InputPipeline
    first: Batch
    batches: list[Batch]
    dataset: DatasetFacts


def build(plan: Plan, first: Batch | None = None) -> Instrumented:
    """The plan's model with the harness's own initial weights and dropout off, and batches for the longest run.

    `first` (images [B, S, S, 3] uint8, labels [B, 2] float32) replaces the first of them: a library that draws or turns
    images otherwise than where the reference was made does not matter then.
    """
    dataset = datasets.load(datasets.Request(DATA, plan.image_size))
    pipeline = InputPipeline(dataset.train, plan.batch_size, plan.seed, augmented=True)
    whole = network.build(find(plan.model), plan.image_size, plan.seed)
    draw_initial_weights(whole, plan.seed)
    preprocess = whole.get_layer("preprocess")
    model = keras.Model(preprocess.output, whole.output, name=f"{plan.model}_instrumented")
    for layer in network.every_layer(model):
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    frozen = keras.Model(model.input, model.output)
    for each in (model, frozen):
        each.compile(optimizer=keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM), loss="binary_crossentropy")
    batches = [pipeline.batch(*divmod(step, pipeline.steps_per_epoch)) for step in range(max(STEPS))]
    batches[0] = first or batches[0]
    pixels = [to_numpy(preprocess(images)).astype(np.float32) for images, _ in batches]
    return Instrumented(
        plan,
        model,
        frozen,
        definition_digest(whole),
        pipeline,
        batches[0],
        list(zip(pixels, (labels for _, labels in batches), strict=True)),
        {"name": dataset.name, "checksum": dataset.checksum},
    )


def provenance(subject: Instrumented, adapter: Backend, started: str) -> Provenance:
    """Where the figures come from of a dump or a reference that was begun at `started` (UTC, ISO 8601)."""
    code = {**commit(), "code_changed": changed(adapter.name, "bcdl.parity.worker.steps")}
    return {
        "plan": subject.plan.to_dict(),
        "dataset": subject.dataset,
        "started": started,
        "ended": now(),
        "environment": cast(Environment, {**adapter.describe(), **hardware.describe(subject.plan.device), **code}),
    }


def definition(model: keras.Model) -> str:
    """The model's configuration but for its float types and what is not set, names replaced in order of appearance.

    Keras counts names on in a process. Another Keras may lack an option, or have more of them; one that is None is not
    set on either.
    """
    config = json.loads(json.dumps(model.get_config(), default=str), object_hook=_what_is_set)
    names: dict[str, str] = {}
    _collect_names(config, names)
    return json.dumps(_renamed(config, names), sort_keys=True)


def definition_digest(model: keras.Model) -> str:
    """SHA-256 of the model's definition."""
    return hashlib.sha256(definition(model).encode()).hexdigest()


def _what_is_set(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "dtype" and value is not None}


def _collect_names(config: Any, names: dict[str, str]) -> None:
    if isinstance(config, dict):
        name = config.get("name")
        if isinstance(name, str):
            names.setdefault(name, f"#{len(names)}")
    parts = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for part in parts:
        _collect_names(part, names)


def _renamed(config: Any, names: dict[str, str]) -> Any:
    if isinstance(config, dict):
        return {key: _renamed(value, names) for key, value in config.items()}
    if isinstance(config, list):
        return [_renamed(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config


def to_numpy(value: Any) -> np.ndarray:
    """A tensor or variable as an array of its shape and dtype, on the host."""
    return np.array(keras.ops.convert_to_numpy(value))


def outputs(model: keras.Model, adapter: Backend, pixels: np.ndarray) -> np.ndarray:
    """Inference outputs [B, 2] by the compiled forward function."""
    with adapter.predicting(model) as forward:
        return to_numpy(forward(adapter.put(pixels)[0]))


def walk(model: keras.Model, pixels: np.ndarray, training: bool) -> Parts:
    """The output of every layer on `pixels` [B, S, S, 3], in topological order, run operation by operation.

    In training mode the batch norms move their averages; the caller puts them back.
    """
    parts: Parts = []
    values: Any = keras.ops.convert_to_tensor(pixels)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            inner = [each for each in layer.layers if not isinstance(each, keras.layers.InputLayer)]
            probe = keras.Model(layer.inputs, [*(each.output for each in inner), layer.output])
            *given, values = probe(values, training=training)
            parts += [(each.name, to_numpy(value)) for each, value in zip(inner, given, strict=True)]
        elif not isinstance(layer, keras.layers.InputLayer):
            values = layer(values, training=training)
            parts.append((layer.name, to_numpy(values)))
    return parts


def settle(subject: Instrumented, training_walk: Parts, sizes: Mapping[str, float] | None = None) -> dict[str, float]:
    """Give every batch norm moving averages, scale and shift of the size that its input has, and logits a size of 1.

    Gives these sizes by layer; if `sizes` are given, they are taken instead of measured.

    At the start they are 0 and 1, with which a deep net's inference output hardly depends on the image, so
    that equal outputs would prove nothing; and scores of nearly 0 or 1 would hide differences in the logits. Sizes
    are rounded to powers of two, so that backends that differ by rounding get the same bits: all but surely in float32,
    and surely if they are those of the reference.
    """
    given, settled = dict(training_walk), dict(sizes or {})
    for place, layer in enumerate(network.every_layer(subject.model)):
        if isinstance(layer, keras.layers.BatchNormalization):
            source = layer.input._keras_history.operation.name
            size = settled.setdefault(layer.name, _power_of_two(np.var(given[source], dtype=np.float64)))
            generator = np.random.default_rng([subject.plan.seed, _SETTLING, place])
            shape = tuple(layer.moving_mean.shape)
            _assign(layer.moving_variance, size * generator.uniform(0.5, 1.5, shape))
            _assign(layer.moving_mean, np.sqrt(size) * generator.normal(0, 0.1, shape))
            _assign(layer.beta, generator.normal(0, 0.1, shape))
            if layer.scale:
                _assign(layer.gamma, generator.uniform(0.5, 1.5, shape))
    scores = subject.model.layers[-1]
    size = settled.setdefault(scores.name, _power_of_two(np.sqrt(np.mean(_logits(subject) ** 2))))
    _assign(scores.kernel, to_numpy(scores.kernel) / size)
    return settled


def _logits(subject: Instrumented) -> np.ndarray:
    """The logits [B, 2] of the first batch in inference mode, float64."""
    scores = subject.model.layers[-1]
    sigmoid, scores.activation = scores.activation, keras.activations.linear
    logits = to_numpy(subject.model(subject.batches[0][0], training=False)).astype(np.float64)
    scores.activation = sigmoid
    return logits


def _power_of_two(size: Any) -> float:
    """The power of two nearest to `size`, on a logarithmic scale."""
    return float(2.0 ** round(np.log2(max(float(size), 1e-12))))


def _assign(variable: Any, values: np.ndarray) -> None:
    variable.assign(values.astype(np.float32))


@dataclasses.dataclass(frozen=True)
class Steps:
    """The results of a run of training steps.

    Attributes:
        losses: the loss before each step's update, nats.
        gradient: the gradient of the first step, a part a trainable variable.
        statistics: the batch norms' moving averages after the first step.
        weights: all trainable weights at the start (0) and after each of `STEPS` reached, as one vector.
    """

    losses: list[float]
    gradient: Parts
    statistics: Parts
    weights: dict[int, np.ndarray]


def train(model: keras.Model, batches: list[Batch], start: Snapshot) -> Steps:
    """Train one step a batch from `start`, which is restored first and last, by the function `fit` compiles."""
    start.restore()
    losses, weights = [], {0: trainable_weights(model)}
    gradient: Parts = []
    statistics: Parts = []
    for step, batch in enumerate(batches, start=1):
        losses.append(advance(model, batch))
        if step == 1:
            gradient = _last_gradient(model)
            statistics = [(v.path, to_numpy(v)) for v in model.non_trainable_variables if _is_statistic(v)]
        if step in STEPS:
            weights[step] = trainable_weights(model)
    start.restore()
    return Steps(losses, gradient, statistics, weights)


def frozen_gradient(subject: Instrumented) -> Parts:
    """The first batch's gradient from the weights as they are, which stay, every batch norm in inference mode.

    Batch statistics of a few images amplify rounding so much that a wrong gradient could hide behind it;
    without them the gradient is as steady as the outputs.
    """
    norms = [
        layer for layer in network.every_layer(subject.model) if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in norms:
        layer.trainable = False
    before = Snapshot(subject.frozen)
    advance(subject.frozen, subject.batches[0])
    gradient = _last_gradient(subject.frozen)
    before.restore()
    for layer in norms:
        layer.trainable = True
    return gradient


def _last_gradient(model: keras.Model) -> Parts:
    """The gradient of a first step, a part a trainable variable, read from the optimizer's momentum."""
    slots = zip(model.trainable_variables, model.optimizer.momentums, strict=True)
    return [(variable.path, to_numpy(slot) / -LEARNING_RATE) for variable, slot in slots]


def advance(model: keras.Model, batch: Batch) -> float:
    """One training step; the loss before its update, nats."""
    model.reset_metrics()
    return float(model.train_on_batch(*batch))


def trainable_weights(model: keras.Model) -> np.ndarray:
    """All trainable weights as one vector, in the model's order."""
    return np.concatenate([to_numpy(v).ravel() for v in model.trainable_variables])


def _is_statistic(variable: Any) -> bool:
    return str(variable.name).startswith("moving_")
