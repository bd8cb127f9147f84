"""Operations of each layer type against counts by hand and against torch's own counter; sums over whole models."""

from __future__ import annotations

import os
from typing import Any

import pytest

from bcdl.settings.models import MODELS, find

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
flops = pytest.importorskip("bcdl.worker.flops")
network = pytest.importorskip("bcdl.worker.network")

COUNTED_BY_TORCH = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") != "torch", reason="the other count is made by torch.utils.flop_counter"
)


@pytest.mark.parametrize(
    ("make", "forward"),
    [
        # Operations: 2 x outputs x weights an output is made of. Inputs are 9x9x4.
        (lambda: keras.layers.Conv2D(6, 3, padding="same"), 2 * 9 * 9 * 6 * 3 * 3 * 4),
        (lambda: keras.layers.Conv2D(6, 3, strides=2, padding="valid"), 2 * 4 * 4 * 6 * 3 * 3 * 4),
        (lambda: keras.layers.Conv2D(6, (1, 7), padding="same"), 2 * 9 * 9 * 6 * 1 * 7 * 4),
        (lambda: keras.layers.DepthwiseConv2D(3, padding="same"), 2 * 9 * 9 * 4 * 3 * 3),
        (lambda: keras.layers.SeparableConv2D(6, 5, padding="same"), 2 * 9 * 9 * 4 * (5 * 5 + 6)),
        (lambda: keras.layers.Dense(5), 2 * 4 * 5),
        (lambda: keras.layers.BatchNormalization(), None),
    ],
)
def test_operations_of_a_layer(make: Any, forward: int | None) -> None:
    images = keras.Input((9, 9, 4))
    layer = make()
    flat = keras.layers.GlobalAveragePooling2D()(images) if isinstance(layer, keras.layers.Dense) else images
    rows = flops.layer_flops(keras.Model(images, layer(flat)))
    assert [row.forward for row in rows] == ([] if forward is None else [forward])
    # Nothing to train lies before the layer, so that its input needs no gradient.
    assert [row.training for row in rows] == ([] if forward is None else [2 * forward])


def test_only_layers_behind_weights_need_the_gradient_of_their_input() -> None:
    images = keras.Input((9, 9, 4))
    first = keras.layers.Conv2D(6, 3, name="first")(images)
    beside = keras.layers.Conv2D(6, 3, name="beside")(keras.layers.ReLU()(images))
    both = keras.layers.BatchNormalization()(keras.layers.Add()([first, beside]))
    last = keras.layers.Conv2D(2, 3, name="last")(both)
    inputs = {row.name: row.input_gradient > 0 for row in flops.layer_flops(keras.Model(images, last))}
    assert inputs == {"first": False, "beside": False, "last": True}


def test_frozen_layers_have_no_gradient_of_their_weights() -> None:
    images = keras.Input((9, 9, 4))
    layer = keras.layers.Conv2D(6, 3)
    outputs = layer(images)
    layer.trainable = False
    (row,) = flops.layer_flops(keras.Model(images, outputs))
    assert (row.weight_gradient, row.input_gradient, row.training) == (0, 0, row.forward)


@COUNTED_BY_TORCH
@pytest.mark.parametrize("name", MODELS)
def test_forward_agrees_with_torchs_counter(name: str) -> None:
    row = find(name)
    model = network.build(row, row.least_image_size, seed=0)
    counted = _counted(lambda images: model(images, training=False), row.least_image_size)
    ours = sum(flops.describe(model)["forward_flops"].values())
    assert ours == pytest.approx(counted, rel=0.02)


@COUNTED_BY_TORCH
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Conv2D(6, 3, padding="same"),
        lambda: keras.layers.Conv2D(6, 3, padding="valid"),
        lambda: keras.layers.Conv2D(8, (1, 7), padding="same"),
        lambda: keras.layers.Dense(5),
    ],
)
def test_backward_agrees_with_torchs_counter_layer_by_layer(make: Any) -> None:
    images = keras.Input((9, 9, 4))
    before = keras.layers.Conv2D(4, 1, name="before")
    model = keras.Model(images, make()(before(images)))
    counted = _counted(lambda pixels: model(pixels, training=True).sum().backward(), 9, channels=4)
    assert sum(row.training for row in flops.layer_flops(model)) == counted


@COUNTED_BY_TORCH
def test_torchs_counter_takes_depthwise_weight_gradients_for_dense_ones() -> None:
    groups = 4
    images = keras.Input((9, 9, 3))
    maps = keras.layers.Conv2D(groups, 1)(images)
    model = keras.Model(images, keras.layers.DepthwiseConv2D(3, padding="same")(maps))
    before, depthwise = flops.layer_flops(model)
    counted = _counted(lambda pixels: model(pixels, training=True).sum().backward(), 9)
    expected = before.training + depthwise.forward + depthwise.input_gradient + groups * depthwise.weight_gradient
    assert counted == expected, "the counter has changed: say so in bcdl/worker/flops.py"


def _counted(run: Any, size: int, channels: int = 3) -> int:
    flop_counter = pytest.importorskip("torch.utils.flop_counter")
    images = keras.ops.ones((1, size, size, channels))
    with flop_counter.FlopCounterMode(display=False) as counter:
        run(images)
    return int(counter.get_total_flops())
