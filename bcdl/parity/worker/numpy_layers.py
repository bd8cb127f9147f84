"""The layers of the seven models in NumPy: maps are [B, H, W, C], computed in the dtype they come in.

Written from the definitions, not for speed. Padding is TensorFlow's, which Keras documents as its own:
`same` gives ceil(size / stride) outputs, and puts the odd pixel of padding after the map.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv2d(
    maps: np.ndarray, kernel: np.ndarray, strides: int, padding: str, bias: np.ndarray | float = 0.0
) -> np.ndarray:
    """Cross-correlation with a kernel [h, w, C, O]; gives [B, H', W', O]."""
    return np.einsum("bhwcij,ijco->bhwo", _windows(maps, kernel.shape[:2], strides, padding), kernel) + bias


def depthwise_conv2d(maps: np.ndarray, kernel: np.ndarray, strides: int, padding: str) -> np.ndarray:
    """Cross-correlation of each channel with its own kernel, of [h, w, C, 1]; gives [B, H', W', C]."""
    return np.einsum("bhwcij,ijc->bhwc", _windows(maps, kernel.shape[:2], strides, padding), kernel[..., 0])


def max_pool(maps: np.ndarray, size: int, strides: int, padding: str) -> np.ndarray:
    """Largest pixel of each window; gives [B, H', W', C]."""
    return _windows(maps, (size, size), strides, padding, fill=-np.inf).max(axis=(-2, -1))


def average_pool(maps: np.ndarray, size: int, strides: int, padding: str) -> np.ndarray:
    """Mean over the pixels of each window that lie on the map; gives [B, H', W', C]."""
    window = (size, size)
    sums = _windows(maps, window, strides, padding).sum(axis=(-2, -1))
    return sums / _windows(np.ones_like(maps), window, strides, padding).sum(axis=(-2, -1))


def batch_norm(
    maps: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    gamma: np.ndarray | float,
    beta: np.ndarray,
    epsilon: float,
) -> np.ndarray:
    """Ioffe and Szegedy 2015 (arXiv 1502.03167), algorithm 1, with the statistics given."""
    return gamma * (maps - mean) / np.sqrt(variance + epsilon) + beta


def moments(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance, [C] each, of each channel."""
    return maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))


def sigmoid(values: np.ndarray) -> np.ndarray:
    """The logistic function 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-values))


def _windows(maps: np.ndarray, size: tuple[int, ...], strides: int, padding: str, fill: float = 0.0) -> np.ndarray:
    """Every window that a layer reads: [B, H', W', C, window height, window width]."""
    if padding == "same":
        sides = [_same(length, side, strides) for length, side in zip(maps.shape[1:3], size, strict=True)]
        maps = np.pad(maps, [(0, 0), *sides, (0, 0)], constant_values=fill)
    return sliding_window_view(maps, size, axis=(1, 2))[:, ::strides, ::strides]


def _same(length: int, size: int, strides: int) -> tuple[int, int]:
    """Pixels of `same` padding before and after a side of the map."""
    total = max((-(-length // strides) - 1) * strides + size - length, 0)
    return total // 2, total - total // 2
