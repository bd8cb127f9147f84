"""What a model costs: floating-point operations and bytes, counted from the Keras graph.

A convolution and a dense layer do two operations, a multiplication and an addition, for each weight that an output
is made of, the padding included. Everything else (batch norms, pooling, activations) is left out, as is usual: it is
bound by memory, not by arithmetic. A training step adds the gradient of the weights, which costs as much as the forward
pass, and that of the input, which does too and which a layer needs only if trainable weights lie before it.

Other tools count otherwise: torch's FlopCounterMode takes the weight gradient of a depthwise convolution for a dense
one and counts it as many times over as there are groups (a test shows it); XLA's cost analysis leaves out what
`same` padding adds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bcdl.records.shapes import Cost
from bcdl.worker.network import every_layer

FLOAT32_BYTES = 4


@dataclasses.dataclass(frozen=True)
class LayerFlops:
    """A layer's floating-point operations for one image.

    Attributes:
        name: of the layer.
        kind: its type.
        forward: operations of the forward pass.
        weight_gradient: operations of the gradient of its weights.
        input_gradient: operations of the gradient of its input; 0 if no trainable weights lie before it.
    """

    name: str
    kind: str
    forward: int
    weight_gradient: int
    input_gradient: int

    @property
    def training(self) -> int:
        """Operations of a training step."""
        return self.forward + self.weight_gradient + self.input_gradient


def layer_flops(model: keras.Model) -> list[LayerFlops]:
    """Each convolution and dense layer of a functional model, those of nested models too, with its operations."""
    rows = []
    for layer in every_layer(model):
        count = _FORWARD.get(type(layer).__name__)
        if count is not None:
            forward = count(layer)
            weights = forward if layer.trainable else 0
            inputs = forward if _has_weights_before(layer.input) else 0
            rows.append(LayerFlops(layer.name, type(layer).__name__, forward, weights, inputs))
    return rows


def describe(model: keras.Model) -> Cost:
    """What a record says of the model's cost: operations an image by layer type, and bytes.

    `activation_bytes` is an estimate for one image: every layer's output once, in float32; frameworks fuse some away
    and keep others twice.
    """
    rows = layer_flops(model)
    kinds = sorted({row.kind for row in rows})
    outputs = (tensor for layer in every_layer(model) for tensor in keras.tree.flatten(layer.output))
    return {
        "forward_flops": {kind: sum(row.forward for row in rows if row.kind == kind) for kind in kinds},
        "training_flops": {kind: sum(row.training for row in rows if row.kind == kind) for kind in kinds},
        "weight_bytes": FLOAT32_BYTES * model.count_params(),
        "activation_bytes": FLOAT32_BYTES * sum(_size(tensor) for tensor in outputs),
    }


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.shape[1:]))


def _conv(layer: Any) -> int:
    return int(2 * np.prod(layer.kernel.shape[:-1]) * _size(layer.output))


def _depthwise(layer: Any) -> int:
    return int(2 * np.prod(layer.kernel.shape[:2]) * _size(layer.output))


def _separable(layer: Any) -> int:
    pixels = _size(layer.output) // layer.filters  # in either layout
    each = [np.prod(kernel.shape) for kernel in (layer.depthwise_kernel, layer.pointwise_kernel)]
    return int(2 * pixels * sum(each))


def _dense(layer: Any) -> int:
    return int(2 * layer.kernel.shape[0] * _size(layer.output))


_FORWARD: dict[str, Callable[[Any], int]] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
}


def _has_weights_before(tensors: Any) -> bool:
    """Whether trainable weights lie before the tensors, so that the gradient must reach them."""
    seen: set[int] = set()
    waiting = keras.tree.flatten(tensors)
    while waiting:
        operation = waiting.pop()._keras_history.operation
        if getattr(operation, "trainable_weights", None):
            return True
        if id(operation) not in seen and not isinstance(operation, keras.layers.InputLayer):
            seen.add(id(operation))
            waiting += keras.tree.flatten(operation.input)
    return False
