"""Each layer type, the loss and the optimizers on this process's backend, against NumPy in float64.

Only a backend whose float64 agrees with NumPy in every check may give a reference. A new
layer type needs a row in `LAYER_CHECKS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer  # has no public name

from bcdl.parity.dumps import relative
from bcdl.parity.worker import numpy_layers as exact

# Relative error that float64 rounding may cause in sums of some thousand terms; wrong arithmetic causes far more.
REFERENCE_TOLERANCE = 1e-12
# The same for float32, in which every row is checked too.
FLOAT32_TOLERANCE = 1e-5
# The same for mixed_bfloat16: a few roundings of a half unit in the last place.
BFLOAT16_TOLERANCE = 2.0**-6

# Of the optimizers: binary fractions, which keep their value if Keras rounds such settings to float32.
_RATE, _MOMENTUM, _SECOND_MOMENTUM, _EPSILON = 2.0**-7, 0.75, 1 - 2.0**-10, 2.0**-23

_SEED = 0
_CHANNELS = 4

Weights = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LayerCheck:
    """A layer and the output that it should give.

    Attributes:
        layer_type: the layer's class.
        setup: how the layer is set up, and on which input; empty if there is only one way.
        make: makes the Keras layer.
        expected: computes the output from the inputs and the layer's weights by name, all float64.
        shapes: the shape of each input.
        training: whether the layer runs in training mode.
    """

    layer_type: str
    setup: str
    make: Callable[[], Any]
    expected: Callable[..., np.ndarray]
    shapes: tuple[tuple[int, ...], ...]
    training: bool = False

    @property
    def name(self) -> str:
        """The name of the row, by which a known difference is recorded."""
        return f"{self.layer_type} {self.setup}".strip()


def _map(side: int) -> tuple[tuple[int, ...], ...]:
    return ((2, side, side, _CHANNELS),)


def _conv(size: int | tuple[int, int], strides: int, padding: str, side: int) -> LayerCheck:
    return LayerCheck(
        "Conv2D",
        f"{size} stride {strides} {padding} on {side}",
        lambda: layers.Conv2D(6, size, strides=strides, padding=padding),
        lambda maps, w: exact.conv2d(maps, w["kernel"], strides, padding, w["bias"]),
        _map(side),
    )


def _depthwise(size: int, strides: int, padding: str, side: int) -> LayerCheck:
    return LayerCheck(
        "DepthwiseConv2D",
        f"{size} stride {strides} {padding} on {side}",
        lambda: layers.DepthwiseConv2D(size, strides=strides, padding=padding, use_bias=False),
        lambda maps, w: exact.depthwise_conv2d(maps, w["kernel"], strides, padding),
        _map(side),
    )


def _separable(size: int, strides: int, padding: str, side: int) -> LayerCheck:
    return LayerCheck(
        "SeparableConv2D",
        f"{size} stride {strides} {padding} on {side}",
        lambda: layers.SeparableConv2D(6, size, strides=strides, padding=padding, use_bias=False),
        lambda maps, w: exact.conv2d(
            exact.depthwise_conv2d(maps, w["depthwise_kernel"], strides, padding), w["pointwise_kernel"], 1, "valid"
        ),
        _map(side),
    )


def _pool(kind: str, size: int, strides: int, padding: str, side: int) -> LayerCheck:
    layer = {"Max": layers.MaxPooling2D, "Average": layers.AveragePooling2D}[kind]
    function = {"Max": exact.max_pool, "Average": exact.average_pool}[kind]
    return LayerCheck(
        f"{kind}Pooling2D",
        f"{size} stride {strides} {padding} on {side}",
        lambda: layer(size, strides=strides, padding=padding),
        lambda maps, w: function(maps, size, strides, padding),
        _map(side),
    )


def _batch_norm(training: bool, scale: bool) -> LayerCheck:
    def expected(maps: np.ndarray, w: Weights) -> np.ndarray:
        mean, variance = exact.moments(maps) if training else (w["moving_mean"], w["moving_variance"])
        return exact.batch_norm(maps, mean, variance, w.get("gamma", 1.0), w["beta"], 1e-3)

    mode = "training" if training else "inference"
    return LayerCheck(
        "BatchNormalization",
        mode if scale else f"{mode}, no scale",
        lambda: layers.BatchNormalization(scale=scale),
        expected,
        _map(8),
        training,
    )


def _plain(
    layer_type: str, make: Callable[[], Any], expected: Callable[..., np.ndarray], inputs: int = 1, setup: str = ""
) -> LayerCheck:
    return LayerCheck(layer_type, setup, make, expected, _map(8) * inputs)


LAYER_CHECKS = (
    _conv(3, 1, "same", 8),
    _conv(3, 1, "valid", 8),
    _conv(3, 2, "same", 8),
    _conv(3, 2, "same", 9),
    _conv(3, 2, "valid", 9),
    _conv(7, 2, "valid", 14),
    _conv(1, 2, "valid", 9),
    _conv((1, 7), 1, "same", 8),
    _depthwise(3, 1, "same", 8),
    _depthwise(3, 2, "valid", 9),
    _separable(3, 1, "same", 8),
    _separable(5, 2, "valid", 11),
    _separable(7, 2, "valid", 13),
    _batch_norm(training=False, scale=True),
    _batch_norm(training=True, scale=True),
    _batch_norm(training=True, scale=False),
    _pool("Max", 2, 1, "same", 8),
    _pool("Max", 3, 2, "valid", 9),
    _pool("Max", 3, 2, "same", 8),
    _pool("Max", 3, 2, "same", 9),
    _pool("Average", 1, 2, "valid", 9),
    _pool("Average", 2, 2, "valid", 8),
    _pool("Average", 3, 1, "same", 8),
    _pool("Average", 3, 1, "same", 9),
    _pool("Average", 3, 2, "valid", 9),
    _pool("Average", 3, 2, "same", 8),
    _pool("Average", 3, 2, "same", 9),
    _plain("Activation", lambda: layers.Activation("relu"), lambda x, w: np.maximum(x, 0), setup="relu"),
    _plain("ReLU", lambda: layers.ReLU(6.0), lambda x, w: np.clip(x, 0, 6), setup="6"),
    _plain("Add", layers.Add, lambda x, y, w: x + y, inputs=2),
    _plain(
        "CustomScaleLayer",
        lambda: CustomScaleLayer(0.17),
        lambda x, y, w: x + 0.17 * y,
        inputs=2,
    ),
    _plain("Concatenate", layers.Concatenate, lambda x, y, w: np.concatenate([x, y], axis=-1), inputs=2),
    _plain(
        "ZeroPadding2D",
        lambda: layers.ZeroPadding2D(((0, 1), (2, 1))),
        lambda x, w: np.pad(x, [(0, 0), (0, 1), (2, 1), (0, 0)]),
    ),
    _plain("Cropping2D", lambda: layers.Cropping2D(((1, 0), (1, 0))), lambda x, w: x[:, 1:, 1:]),
    _plain("Flatten", layers.Flatten, lambda x, w: x.reshape(len(x), -1)),
    LayerCheck(
        "Dense",
        "sigmoid",
        lambda: layers.Dense(2, activation="sigmoid"),
        lambda x, w: exact.sigmoid(x @ w["kernel"] + w["bias"]),
        ((4, 16),),
    ),
)


def check() -> dict[str, float]:
    """The relative error of each row, in Keras's current float type, by the row's name."""
    sgd = keras.optimizers.SGD(_RATE, momentum=_MOMENTUM)
    adam = keras.optimizers.Adam(_RATE, beta_1=_MOMENTUM, beta_2=_SECOND_MOMENTUM, epsilon=_EPSILON)
    return {
        **{row.name: _layer_error(row) for row in LAYER_CHECKS},
        "BatchNormalization moving averages": _moving_averages_error(),
        "binary cross-entropy": _loss_error(),
        "binary cross-entropy, gradient": _loss_gradient_error(0.5),
        "binary cross-entropy, gradient at a saturated score": _loss_gradient_error(20.0),
        "SGD, momentum, 5 steps": _optimizer_error(sgd, _sgd),
        "Adam, 5 steps": _optimizer_error(adam, _adam),
    }


def optimizer_is_portable() -> bool:
    """Whether a saved optimizer names its class as Keras's own, which every backend has."""
    return bool(keras.saving.serialize_keras_object(keras.optimizers.SGD())["module"] == "keras.optimizers")


def _layer_error(row: LayerCheck) -> float:
    generator = np.random.default_rng(_SEED)
    inputs = [generator.normal(0, 2, shape).astype(np.float32) for shape in row.shapes]
    layer, weights = _with_weights(row.make(), inputs, generator)
    given = _to_float64(layer(_tensors(inputs), training=row.training))
    expected = row.expected(*(array.astype(np.float64) for array in inputs), weights)
    return relative(given - expected, expected)


def _with_weights(layer: Any, inputs: list[np.ndarray], generator: np.random.Generator) -> tuple[Any, Weights]:
    """The layer with weights drawn anew, positive if they are variances or scales; and the weights, in float64."""
    layer(_tensors(inputs))
    drawn: Weights = {}
    for variable in layer.weights:
        low, high = (0.5, 1.5) if "variance" in variable.name or "gamma" in variable.name else (-1.0, 1.0)
        values = generator.uniform(low, high, tuple(variable.shape)).astype(np.float32)
        variable.assign(values)
        drawn[variable.name] = values.astype(np.float64)
    return layer, drawn


def _tensors(inputs: list[np.ndarray]) -> Any:
    tensors = [keras.ops.convert_to_tensor(array, dtype=keras.config.floatx()) for array in inputs]
    return tensors if len(tensors) > 1 else tensors[0]


def _to_float64(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64)


def _moving_averages_error() -> float:
    """Of a batch norm's moving averages after one batch: m a + (1 - m) s, of the averages a and the statistics s."""
    generator = np.random.default_rng(_SEED)
    maps = generator.normal(1, 2, (2, 8, 8, _CHANNELS)).astype(np.float32)
    layer, weights = _with_weights(layers.BatchNormalization(momentum=0.9), [maps], generator)
    layer(_tensors([maps]), training=True)
    mean, variance = exact.moments(maps.astype(np.float64))
    expected = np.concatenate(
        [0.9 * weights["moving_mean"] + 0.1 * mean, 0.9 * weights["moving_variance"] + 0.1 * variance]
    )
    given = np.concatenate([_to_float64(layer.moving_mean), _to_float64(layer.moving_variance)])
    return relative(given - expected, expected)


def _loss_error() -> float:
    """Of binary cross-entropy: the mean of -y log p - (1 - y) log(1 - p)."""
    generator = np.random.default_rng(_SEED)
    outputs = generator.uniform(0.01, 0.99, (16, 2)).astype(np.float32)
    wanted = np.eye(2, dtype=np.float32)[generator.integers(0, 2, 16)]
    given = _to_float64(keras.losses.BinaryCrossentropy()(*(_tensors([array]) for array in (wanted, outputs))))
    p, y = outputs.astype(np.float64), wanted.astype(np.float64)
    expected = np.array(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
    return relative(given - expected, expected)


def _loss_gradient_error(logit: float) -> float:
    """Of the gradient of binary cross-entropy by a logit whose label is 0: it is the sigmoid of the logit."""
    scores = layers.Dense(1, activation="sigmoid", use_bias=False, dtype=keras.config.floatx())  # as in the models
    model = keras.Sequential([keras.Input((1,)), scores])
    model.layers[-1].kernel.assign([[logit]])
    model.compile(optimizer=keras.optimizers.SGD(_RATE, momentum=_MOMENTUM), loss="binary_crossentropy")
    model.train_on_batch(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32))
    expected = exact.sigmoid(np.array([[logit]]))
    return relative(_to_float64(model.optimizer.momentums[0]) / -_RATE - expected, expected)


def _optimizer_error(optimizer: Any, expected: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """Of 64 weights after 5 steps; `expected` computes them from the weights [64] and the gradients [5, 64]."""
    generator = np.random.default_rng(_SEED)
    start = generator.normal(0, 1, 64).astype(np.float32)
    gradients = generator.normal(0, 1, (5, 64)).astype(np.float32)
    variable = keras.Variable(start, dtype=keras.config.floatx())
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([_tensors([gradient])], [variable])
    moved = expected(start.astype(np.float64), gradients.astype(np.float64))
    return relative(_to_float64(variable) - moved, moved)


def _sgd(weights: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """SGD with momentum, as keras.optimizers.SGD documents it: v = m v - rate g, w = w + v."""
    velocity = np.zeros_like(weights)
    for gradient in gradients:
        velocity = _MOMENTUM * velocity - _RATE * gradient
        weights = weights + velocity
    return weights


def _adam(weights: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Adam, Kingma and Ba 2015 (arXiv 1412.6980), in the form just before section 2.1, which Keras uses."""
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step, gradient in enumerate(gradients, start=1):
        first = _MOMENTUM * first + (1 - _MOMENTUM) * gradient
        second = _SECOND_MOMENTUM * second + (1 - _SECOND_MOMENTUM) * gradient**2
        rate = _RATE * np.sqrt(1 - _SECOND_MOMENTUM**step) / (1 - _MOMENTUM**step)
        weights = weights - rate * first / (np.sqrt(second) + _EPSILON)
    return weights
