"""ResNet50 and MobileNet under the study's head, written in plain JAX: what Keras costs is measured against them.

Weights come by the names that Keras gives them (`conv1_conv/kernel`), in Keras's own layout. Architectures: He et al.
2016 (arXiv:1512.03385, table 1, bottlenecks whose first 1x1 convolution strides), Howard et al. 2017
(arXiv:1704.04861, table 1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Weights = dict[str, Any]

# Of ImageNet's pixels, blue, green and red: what ResNet50's preprocessing subtracts.
_BGR_MEANS = np.array([103.939, 116.779, 123.68], dtype=np.float32)
_NORM_MOMENTUM = 0.99
_HEAD_EPSILON = 1e-3
_DROPOUT_RATE = 0.5
_STATISTICS = ("moving_mean", "moving_variance")


class NativeModel:
    """A model that trains by SGD with momentum, compiled whole; see `backends.NativeModel`."""

    def __init__(
        self, model: str, weights: Mapping[str, np.ndarray], learning_rate: float, momentum: float, precision: str
    ) -> None:
        values = {name: jnp.asarray(value) for name, value in weights.items()}
        self._trained = {name: value for name, value in values.items() if not name.endswith(_STATISTICS)}
        self._statistics = {name: value for name, value in values.items() if name.endswith(_STATISTICS)}
        self._velocity = jax.tree.map(jnp.zeros_like, self._trained)
        self._key = jax.random.key(0)
        dtype = jnp.bfloat16 if precision == "mixed_bfloat16" else jnp.float32
        forward = functools.partial(_forward, _LAYERS[model], dtype)
        self._infer = jax.jit(lambda trained, statistics, images: jax.nn.sigmoid(forward(trained, statistics, images)))
        self._gradient = jax.jit(jax.grad(lambda *arguments: _loss(forward, *arguments)[0]))
        self._step = jax.jit(functools.partial(_step, forward, learning_rate, momentum), donate_argnums=(0, 1, 2, 3))

    @property
    def parameters(self) -> int:
        return sum(value.size for value in (*self._trained.values(), *self._statistics.values()))

    def outputs(self, images: Any) -> np.ndarray:
        return np.asarray(self._infer(self._trained, self._statistics, images))

    def gradient(self, images: Any, labels: Any) -> dict[str, np.ndarray]:
        gradient = self._gradient(self._trained, self._statistics, images, labels)
        return {name: np.asarray(value) for name, value in gradient.items()}

    def step(self, images: Any, labels: Any) -> Any:
        state = (self._trained, self._velocity, self._statistics, self._key)
        (self._trained, self._velocity, self._statistics, self._key), loss = self._step(*state, images, labels)
        return loss


def _step(
    forward: Callable[..., Any],
    learning_rate: float,
    momentum: float,
    trained: Weights,
    velocity: Weights,
    statistics: Weights,
    key: Any,
    images: Any,
    labels: Any,
) -> Any:
    """The state after one step of SGD with momentum, and the loss: v <- momentum v - rate g, w <- w + v."""
    key, drawn = jax.random.split(key)
    (loss, moved), gradient = jax.value_and_grad(
        lambda weights: _loss(forward, weights, statistics, images, labels, drawn), has_aux=True
    )(trained)
    velocity = jax.tree.map(lambda v, g: momentum * v - learning_rate * g, velocity, gradient)
    trained = jax.tree.map(jnp.add, trained, velocity)
    return (trained, velocity, {**statistics, **moved}, key), loss


def _loss(
    forward: Callable[..., Any], trained: Weights, statistics: Weights, images: Any, labels: Any, key: Any = None
) -> Any:
    """Mean binary cross-entropy, nats, and the statistics after the batch; in training mode if there is a key."""
    moved: Weights = {}
    logits = forward(trained, statistics, images, key, moved)
    return jnp.mean(jnp.maximum(logits, 0) - logits * labels + jnp.log1p(jnp.exp(-jnp.abs(logits)))), moved


def _forward(
    layers: Callable[[_Pass, Any], Any],
    dtype: Any,
    trained: Weights,
    statistics: Weights,
    images: Any,
    key: Any = None,
    moved: Weights | None = None,
) -> Any:
    """Logits [B, 2] float32 of images [B, S, S, 3] uint8."""
    net = _Pass({**trained, **statistics}, dtype, key, {} if moved is None else moved)
    return _head(net, layers(net, images.astype(jnp.float32)))


class _Pass:
    """One forward pass: applies layers by name, and keeps the statistics that training mode moves."""

    def __init__(self, weights: Weights, dtype: Any, key: Any, moved: Weights) -> None:
        self._weights, self._dtype, self._moved = weights, dtype, moved
        self.key = key

    def conv(self, name: str, x: Any, stride: int = 1, padding: str = "VALID", depthwise: bool = False) -> Any:
        kernel = self._weights[f"{name}/kernel"].astype(self._dtype)
        groups = 1
        if depthwise:
            groups = kernel.shape[2]
            kernel = kernel.reshape(*kernel.shape[:2], 1, groups)
        x = lax.conv_general_dilated(
            x.astype(self._dtype),
            kernel,
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
        bias = self._weights.get(f"{name}/bias")
        return x if bias is None else x + bias.astype(self._dtype)

    def norm(self, name: str, x: Any, epsilon: float) -> Any:
        scale, shift, mean, variance = (
            self._weights[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        x = x.astype(jnp.float32)
        if self.key is not None:
            axes = tuple(range(x.ndim - 1))
            of_batch = {"moving_mean": jnp.mean(x, axes), "moving_variance": jnp.var(x, axes)}
            for part, old in (("moving_mean", mean), ("moving_variance", variance)):
                self._moved[f"{name}/{part}"] = _NORM_MOMENTUM * old + (1 - _NORM_MOMENTUM) * of_batch[part]
            mean, variance = of_batch.values()
        factor = scale * lax.rsqrt(variance + epsilon)
        return (x * factor + (shift - mean * factor)).astype(self._dtype)

    def dense(self, name: str, x: Any) -> Any:
        return x.astype(jnp.float32) @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]


def _max_pool(x: Any, size: int, stride: int, padding: str = "VALID") -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), padding)


def _pad(x: Any, before: int, after: int) -> Any:
    return jnp.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))


def _resnet50(net: _Pass, x: Any) -> Any:
    epsilon = 1.001e-5
    x = net.conv("conv1_conv", _pad(x[..., ::-1] - _BGR_MEANS, 3, 3), stride=2)
    x = jax.nn.relu(net.norm("conv1_bn", x, epsilon))
    x = _max_pool(_pad(x, 1, 1), 3, 2)
    for stage, blocks in ((2, 3), (3, 4), (4, 6), (5, 3)):
        for block in range(1, blocks + 1):
            name = f"conv{stage}_block{block}"
            stride = 2 if block == 1 and stage > 2 else 1
            shortcut = x
            if block == 1:
                shortcut = net.norm(f"{name}_0_bn", net.conv(f"{name}_0_conv", x, stride), epsilon)
            x = jax.nn.relu(net.norm(f"{name}_1_bn", net.conv(f"{name}_1_conv", x, stride), epsilon))
            x = jax.nn.relu(net.norm(f"{name}_2_bn", net.conv(f"{name}_2_conv", x, padding="SAME"), epsilon))
            x = jax.nn.relu(net.norm(f"{name}_3_bn", net.conv(f"{name}_3_conv", x), epsilon) + shortcut)
    return x


def _mobilenet(net: _Pass, x: Any) -> Any:
    epsilon = 1e-3
    x = net.conv("conv1", x / 127.5 - 1, stride=2, padding="SAME")
    x = jax.nn.relu6(net.norm("conv1_bn", x, epsilon))
    for block in range(1, 14):
        if block in (2, 4, 6, 12):
            x = net.conv(f"conv_dw_{block}", _pad(x, 0, 1), stride=2, depthwise=True)
        else:
            x = net.conv(f"conv_dw_{block}", x, padding="SAME", depthwise=True)
        x = jax.nn.relu6(net.norm(f"conv_dw_{block}_bn", x, epsilon))
        x = jax.nn.relu6(net.norm(f"conv_pw_{block}_bn", net.conv(f"conv_pw_{block}", x), epsilon))
    return x


def _head(net: _Pass, x: Any) -> Any:
    padding = "VALID" if min(x.shape[1:3]) >= 7 else "SAME"
    for filters in (16, 32, 64):
        x = jax.nn.relu(net.conv(f"head_conv{filters}", x, padding=padding))
        x = _max_pool(x, 2, 1, "SAME")
    x = x.reshape(x.shape[0], -1)
    if net.key is not None:
        kept = jax.random.bernoulli(net.key, 1 - _DROPOUT_RATE, x.shape)
        x = jnp.where(kept, x / (1 - _DROPOUT_RATE), 0)
    return net.dense("scores", net.norm("head_norm", x, _HEAD_EPSILON))


_LAYERS: dict[str, Callable[[_Pass, Any], Any]] = {"resnet50": _resnet50, "mobilenet": _mobilenet}


def native_models(
    model: str, weights: Mapping[str, np.ndarray], learning_rate: float, momentum: float, precision: str
) -> dict[str, NativeModel]:
    """The native model of that name by the way in which it runs; empty if there is none."""
    if model not in _LAYERS:
        return {}
    return {"native, jit": NativeModel(model, weights, learning_rate, momentum, precision)}
