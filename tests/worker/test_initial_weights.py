"""Initial weights: the same numbers on every backend, after each layer's own initializer."""

from __future__ import annotations

import numpy as np
import pytest

from bcdl.errors import BcdlError
from bcdl.settings.models import find

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
initial = pytest.importorskip("bcdl.worker.initial_weights")
network = pytest.importorskip("bcdl.worker.network")

# One constant for all backends: this file runs on each.
CHECKSUMS = {"cnn": "3c4f314e9afc", "mobilenet": "48f4ccecee4c"}


@pytest.mark.parametrize("name", list(CHECKSUMS))
def test_every_backend_starts_from_these_bytes(name: str) -> None:
    model = network.build(find(name), 32, seed=0)
    initial.draw_initial_weights(model, seed=0)
    assert network.weights_checksum(model)[:12] == CHECKSUMS[name]


def test_another_seed_gives_other_weights() -> None:
    model = network.build(find("cnn"), 32, seed=0)
    sums = []
    for seed in (0, 1, 0):
        initial.draw_initial_weights(model, seed)
        sums.append(network.weights_checksum(model))
    assert sums[0] == sums[2] != sums[1]


@pytest.mark.parametrize(
    "initializer",
    ["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "zeros", "ones"],
)
def test_draws_have_the_distribution_that_keras_draws(initializer: str) -> None:
    """Spread and range against Keras's own draws of the same large kernels, separable ones too."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Conv2D(128, 3, kernel_initializer=initializer)
    separable = keras.layers.SeparableConv2D(
        64, 9, depthwise_initializer=initializer, pointwise_initializer=initializer
    )
    depthwise = keras.layers.DepthwiseConv2D(9, depthwise_initializer=initializer)
    model = keras.Sequential([keras.Input((20, 20, 64)), dense, separable, depthwise])
    kernels = [dense.kernel, separable.depthwise_kernel, separable.pointwise_kernel, depthwise.kernel]
    drawn_by_keras = [keras.ops.convert_to_numpy(kernel).copy() for kernel in kernels]
    initial.draw_initial_weights(model, seed=0)
    for kernel, wanted in zip(kernels, drawn_by_keras, strict=True):
        drawn = keras.ops.convert_to_numpy(kernel).astype(float)
        assert drawn.std() == pytest.approx(wanted.std(), rel=0.05, abs=1e-9)
        assert np.abs(drawn).max() == pytest.approx(np.abs(wanted).max(), rel=0.3, abs=1e-9)
        assert drawn.mean() == pytest.approx(wanted.mean(), abs=0.1 * float(wanted.std()) + 1e-9)


def test_loaded_layers_are_left_alone() -> None:
    model = network.build(find("mobilenet"), 32, seed=0)
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    before = [keras.ops.convert_to_numpy(v).copy() for v in backbone.weights]
    head = keras.ops.convert_to_numpy(model.get_layer("scores").kernel).copy()
    initial.draw_initial_weights(model, seed=5, skip=backbone)
    for value, variable in zip(before, backbone.weights, strict=True):
        np.testing.assert_array_equal(value, keras.ops.convert_to_numpy(variable))
    assert not np.array_equal(head, keras.ops.convert_to_numpy(model.get_layer("scores").kernel))


def test_an_unknown_initializer_is_an_error_never_a_default() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, kernel_initializer="orthogonal")])
    with pytest.raises(BcdlError, match="Orthogonal has no NumPy draw yet"):
        initial.draw_initial_weights(model, seed=0)
