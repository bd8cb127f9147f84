"""The native models compute what the Keras models do, from the same weights; and one that is wrong is seen."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bcdl import backends
from bcdl.parity.settings import LEARNING_RATE, MOMENTUM, Plan
from bcdl.worker import session
from tests.conftest import ROOT

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
instrumented = pytest.importorskip("bcdl.parity.worker.instrumented")
network = pytest.importorskip("bcdl.worker.network")

# Relative norms. The drift of a few million float32 sums; what a wrong layer does is far above (last test).
OUTPUTS, GRADIENT = 1e-5, 1e-3


@pytest.fixture(scope="module")
def adapter() -> Iterator[backends.Backend]:
    name = keras.backend.backend()
    if not (ROOT / "backends" / name / "native.py").is_file():  # before any Keras model is built to compare with
        pytest.skip("this backend has no native models: Keras is what its users write")
    yield session.start_backend(name, "cpu", "float32")
    opened.cache_clear()
    wanted_gradient.cache_clear()


@functools.cache
def opened(model: str) -> Any:
    """The model with settled batch norms, so that inference depends on every layer; no test changes it."""
    instance = instrumented.build(Plan(model, 64, 4, 0, "float32", "cpu", draws=0))
    pixels = instance.batches[0][0]
    start = instrumented.Snapshot(instance.model)
    walked = instrumented.walk(instance.model, pixels, training=True)
    start.restore()
    instrumented.settle(instance, walked)
    return instance


@functools.cache
def wanted_gradient(model: str) -> dict[str, np.ndarray]:
    """The Keras model's gradient in inference mode, by weight."""
    return {network.short_name(path): part for path, part in instrumented.frozen_gradient(opened(model))}


def differences(native: Any, model: str, adapter: backends.Backend) -> tuple[float, float]:
    """Relative norms of the difference of outputs and of the gradient in inference mode."""
    instance, wanted = opened(model), wanted_gradient(model)
    pixels, labels = instance.batches[0]
    images, _ = instance.pipeline.batch(0, 0)
    given = adapter.put(images, labels)
    gradient = native.gradient(*given)
    norms = {path for path in gradient if path.rpartition("/")[2] in ("gamma", "beta")}
    assert wanted.keys() == gradient.keys() - norms  # frozen norms have none
    outputs = relative(instrumented.outputs(instance.model, adapter, pixels), native.outputs(given[0]))
    flat = [np.concatenate([parts[path].ravel() for path in wanted]) for parts in (wanted, gradient)]
    return outputs, relative(*flat)


def relative(wanted: np.ndarray, given: np.ndarray) -> float:
    return float(np.linalg.norm(wanted - given) / np.linalg.norm(wanted))


def natives(model: str, weights: dict[str, np.ndarray], adapter: backends.Backend) -> dict[str, backends.NativeModel]:
    settings: dict[str, Any] = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "precision": "float32"}
    models = dict(adapter.native_models(model, weights, **settings))
    assert models, "a backend without native models has no native.py"
    return models


@pytest.mark.parametrize("model", ["resnet50", "mobilenet"])
def test_a_native_model_computes_what_the_keras_model_does(model: str, adapter: backends.Backend) -> None:
    instance = opened(model)
    native = next(iter(natives(model, network.named_weights(instance.model), adapter).values()))
    assert native.parameters == instance.model.count_params()
    outputs, gradient = differences(native, model, adapter)
    assert outputs < OUTPUTS
    assert gradient < GRADIENT
    before = native.outputs(adapter.put(instance.pipeline.batch(0, 0)[0])[0])
    adapter.sync(native.step(*adapter.put(*instance.pipeline.batch(0, 0))))
    after = native.outputs(adapter.put(instance.pipeline.batch(0, 0)[0])[0])
    assert relative(before, after) > 10 * OUTPUTS  # a training step moved it


def test_every_way_to_run_a_native_model_gives_the_same_outputs(adapter: backends.Backend) -> None:
    instance = opened("mobilenet")
    (images,) = adapter.put(instance.pipeline.batch(0, 0)[0])
    first, *others = natives("mobilenet", network.named_weights(instance.model), adapter).values()
    for other in others:
        assert relative(first.outputs(images), other.outputs(images)) < OUTPUTS


def test_a_native_model_with_a_layer_transposed_is_seen(adapter: backends.Backend) -> None:
    instance = opened("mobilenet")
    weights = network.named_weights(instance.model)
    weights["conv_dw_3/kernel"] = weights["conv_dw_3/kernel"].swapaxes(0, 1)
    outputs, gradient = differences(next(iter(natives("mobilenet", weights, adapter).values())), "mobilenet", adapter)
    assert outputs > 10 * OUTPUTS
    assert gradient > 10 * GRADIENT
