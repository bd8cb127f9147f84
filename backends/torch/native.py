"""ResNet50 and MobileNet under the study's head, written in plain torch: what Keras costs is measured against them.

Weights come by the names that Keras gives them (`conv1_conv/kernel`), in Keras's layout. Memory is channels last.
Architectures: He et al. 2016 (arXiv:1512.03385, table 1, bottlenecks whose first 1x1 convolution strides), Howard et
al. 2017 (arXiv:1704.04861, table 1). One thing differs: torch's batch norm moves its variance by the unbiased
estimate of a batch, Keras's by the biased one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (torch's own custom)

Weights = Mapping[str, np.ndarray]

_NORM_MOMENTUM = 0.01  # the share of the new batch: 1 less Keras's 0.99
_DROPOUT_RATE = 0.5


class NativeModel:
    """A model that trains by SGD with momentum, eager or compiled; see `backends.NativeModel`."""

    def __init__(
        self,
        model: str,
        weights: Weights,
        device: str,
        learning_rate: float,
        momentum: float,
        precision: str,
        compiled: bool,
    ) -> None:
        self._module: nn.Module = _MODULES[model](weights)
        self._module.to(device, memory_format=torch.channels_last)
        self._forward = torch.compile(self._module) if compiled else self._module
        self._optimizer = torch.optim.SGD(self._module.parameters(), learning_rate, momentum)
        self._cast = torch.autocast(device, torch.bfloat16, enabled=precision == "mixed_bfloat16")

    @property
    def parameters(self) -> int:
        statistics = (value for name, value in self._module.named_buffers() if "running_" in name)
        return sum(value.numel() for value in (*self._module.parameters(), *statistics))

    def outputs(self, images: Any) -> np.ndarray:
        self._module.eval()
        with torch.no_grad(), self._cast:
            return torch.sigmoid(self._forward(images)).float().cpu().numpy()

    def gradient(self, images: Any, labels: Any) -> dict[str, np.ndarray]:
        self._module.eval()
        self._optimizer.zero_grad()
        # Never compiled: it is not timed, and a third graph takes another minute.
        self._loss(self._module, images, labels).backward()
        return {name: _to_keras(name, parameter.grad) for name, parameter in _by_keras_name(self._module).items()}

    def step(self, images: Any, labels: Any) -> Any:
        self._module.train()
        self._optimizer.zero_grad()
        loss = self._loss(self._forward, images, labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def _loss(self, forward: Any, images: Any, labels: Any) -> Any:
        """Mean binary cross-entropy, nats."""
        with self._cast:
            logits = forward(images)
        return F.binary_cross_entropy_with_logits(logits.float(), labels)


class _Conv(nn.Conv2d):
    """A convolution filled from Keras's weights."""

    def __init__(
        self, weights: Weights, name: str, stride: int = 1, padding: str = "valid", depthwise: bool = False
    ) -> None:
        kernel, bias = weights[f"{name}/kernel"], weights.get(f"{name}/bias")
        if depthwise:
            kernel = np.moveaxis(kernel, 3, 2)
        height, _, inputs, outputs = kernel.shape
        groups = outputs if depthwise else 1
        super().__init__(inputs * groups, outputs, height, stride, groups=groups, bias=bias is not None)
        self.keras_name, self._same = name, padding == "same"
        _fill(self.weight, kernel.transpose(3, 2, 0, 1))
        if bias is not None:
            _fill(self.bias, bias)

    def forward(self, x: Any) -> Any:
        return super().forward(_pad_same(x, self.kernel_size[0], self.stride[0]) if self._same else x)


def _pad_same(x: Any, size: int, stride: int) -> Any:
    """`x` [B, C, H, W] padded to what Keras calls `same`: if the padding is odd, more of it comes after."""
    rows, columns = (max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[2:])
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def _norm(kind: Any, weights: Weights, name: str, epsilon: float) -> Any:
    layer = kind(len(weights[f"{name}/gamma"]), eps=epsilon, momentum=_NORM_MOMENTUM)
    layer.keras_name = name
    parts = {"gamma": layer.weight, "beta": layer.bias}
    parts |= {"moving_mean": layer.running_mean, "moving_variance": layer.running_var}
    for part, tensor in parts.items():
        _fill(tensor, weights[f"{name}/{part}"])
    return layer


def _fill(tensor: Any, values: np.ndarray) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))


class _Bottleneck(nn.Module):
    def __init__(self, weights: Weights, name: str, stride: int, projected: bool) -> None:
        super().__init__()
        convs = (("1", stride, "valid"), ("2", 1, "same"), ("3", 1, "valid"))
        self.convs = nn.ModuleList(_Conv(weights, f"{name}_{part}_conv", step, pad) for part, step, pad in convs)
        self.norms = nn.ModuleList(_norm(nn.BatchNorm2d, weights, f"{name}_{part}_bn", 1.001e-5) for part in "123")
        self.shortcut: nn.Module = nn.Identity()
        if projected:
            projection = _Conv(weights, f"{name}_0_conv", stride)
            self.shortcut = nn.Sequential(projection, _norm(nn.BatchNorm2d, weights, f"{name}_0_bn", 1.001e-5))

    def forward(self, x: Any) -> Any:
        shortcut = self.shortcut(x)
        x = F.relu(self.norms[0](self.convs[0](x)))
        x = F.relu(self.norms[1](self.convs[1](x)))
        return F.relu(self.norms[2](self.convs[2](x)) + shortcut)


class _Head(nn.Module):
    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_Conv(weights, f"head_conv{filters}") for filters in (16, 32, 64))
        self.norm = _norm(nn.BatchNorm1d, weights, "head_norm", 1e-3)
        kernel = weights["scores/kernel"]
        self.scores = nn.Linear(*kernel.shape)
        self.scores.keras_name = "scores"
        _fill(self.scores.weight, kernel.T)
        _fill(self.scores.bias, weights["scores/bias"])

    def forward(self, x: Any) -> Any:
        small = min(x.shape[2:]) < 7
        for conv in self.convs:
            x = F.relu(conv(_pad_same(x, 3, 1) if small else x))
            x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2, 1)
        x = x.permute(0, 2, 3, 1).flatten(1)  # the order in which Keras flattens
        x = self.norm(F.dropout(x, _DROPOUT_RATE, self.training))
        with torch.autocast(x.device.type, enabled=False):
            return self.scores(x.float())


class _ResNet50(nn.Module):
    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.register_buffer("means", torch.tensor([103.939, 116.779, 123.68]), persistent=False)
        self.conv, self.norm = _Conv(weights, "conv1_conv", 2), _norm(nn.BatchNorm2d, weights, "conv1_bn", 1.001e-5)
        blocks = [
            _Bottleneck(weights, f"conv{stage}_block{block}", 2 if block == 1 and stage > 2 else 1, block == 1)
            for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3))
            for block in range(1, count + 1)
        ]
        self.blocks, self.head = nn.Sequential(*blocks), _Head(weights)

    def forward(self, images: Any) -> Any:
        x = (images.float().flip(-1) - self.means).permute(0, 3, 1, 2)
        x = F.relu(self.norm(self.conv(F.pad(x, (3, 3, 3, 3)))))
        return self.head(self.blocks(F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)))


class _Separable(nn.Module):
    def __init__(self, weights: Weights, block: int) -> None:
        super().__init__()
        self.halved = block in (2, 4, 6, 12)
        shape = (2, "valid") if self.halved else (1, "same")
        self.deep = _Conv(weights, f"conv_dw_{block}", *shape, depthwise=True)
        self.point = _Conv(weights, f"conv_pw_{block}")
        self.norms = nn.ModuleList(
            _norm(nn.BatchNorm2d, weights, f"conv_{kind}_{block}_bn", 1e-3) for kind in ("dw", "pw")
        )

    def forward(self, x: Any) -> Any:
        x = F.pad(x, (0, 1, 0, 1)) if self.halved else x
        x = F.relu6(self.norms[0](self.deep(x)))
        return F.relu6(self.norms[1](self.point(x)))


class _MobileNet(nn.Module):
    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.conv = _Conv(weights, "conv1", 2, "same")
        self.norm = _norm(nn.BatchNorm2d, weights, "conv1_bn", 1e-3)
        self.blocks, self.head = nn.Sequential(*(_Separable(weights, block) for block in range(1, 14))), _Head(weights)

    def forward(self, images: Any) -> Any:
        x = (images.float() / 127.5 - 1).permute(0, 3, 1, 2)
        return self.head(self.blocks(F.relu6(self.norm(self.conv(x)))))


_MODULES: dict[str, Any] = {"resnet50": _ResNet50, "mobilenet": _MobileNet}


def _by_keras_name(module: nn.Module) -> dict[str, Any]:
    """Every parameter by the name Keras gives it."""
    parameters = {}
    for layer in module.modules():
        if hasattr(layer, "keras_name"):
            is_norm = isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))
            first, second = ("gamma", "beta") if is_norm else ("kernel", "bias")
            parameters[f"{layer.keras_name}/{first}"] = layer.weight
            if layer.bias is not None:
                parameters[f"{layer.keras_name}/{second}"] = layer.bias
    return parameters


def _to_keras(name: str, tensor: Any) -> np.ndarray:
    """A parameter or its gradient in Keras's layout."""
    values = tensor.detach().cpu().numpy()
    if not name.endswith("/kernel"):
        return values
    if values.ndim == 2:
        return values.T
    kernel = values.transpose(2, 3, 1, 0)
    return np.moveaxis(kernel, 2, 3) if "conv_dw_" in name else kernel


def native_models(
    model: str, weights: Weights, device: str, learning_rate: float, momentum: float, precision: str
) -> dict[str, NativeModel]:
    """The native model of that name by the ways in which it runs; empty if there is none."""
    if model not in _MODULES:
        return {}
    ways = {"native, eager": False, "native, torch.compile": True}
    return {
        way: NativeModel(model, weights, device, learning_rate, momentum, precision, compiled)
        for way, compiled in ways.items()
    }
