"""The adapter of PyTorch: what Keras has no function for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import (
    DeviceError,
    NativeModel,
    UnsupportedError,
    check_precision,
    check_transfer_to_cpu,
    first_line,
    is_lack_of_memory,
)
from . import native, prefetch

# What binary cross-entropy raises if an output is NaN, on a CPU and on a GPU.
_NO_PROBABILITY = ("elements of input should be between 0 and 1", "device-side assert triggered")


class Adapter:
    name = "torch"

    def configure(self, device: str, precision: str) -> None:
        check_precision(device, precision)
        if device == "gpu":
            _check_gpu()
        # Keras takes a GPU if there is one, unless this variable says otherwise.
        os.environ["KERAS_TORCH_DEVICE"] = "cuda" if device == "gpu" else "cpu"
        # torch's own defaults are TF32 off for matrix products and on for convolutions.
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"

    def make_deterministic(self) -> None:
        # cuBLAS reads its own variable when it starts: https://docs.nvidia.com/cuda/cublas/#results-reproducibility
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False

    def check_settings(self, data_format: str, input_transfer: str) -> None:
        if not self._on_gpu():
            check_transfer_to_cpu(input_transfer)

    def set_autotune(self, on: bool) -> None:
        if on and not self._on_gpu():
            raise UnsupportedError("torch times no kernels on a CPU; leave --autotune out")
        torch.backends.cudnn.benchmark = on

    def cache_compilations(self, folder: Path | None) -> None:
        raise UnsupportedError("eager torch compiles nothing, so there is no cache to measure")

    def describe(self) -> dict[str, Any]:
        gpu = self._on_gpu()
        return {
            "device": torch.cuda.get_device_name() if gpu else "cpu",
            "platform": "gpu" if gpu else "cpu",
            "precision_flags": {
                "cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
                "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
            },
            "autotune": "cudnn.benchmark" if gpu and torch.backends.cudnn.benchmark else "off",
            "compilation_cache": "off",
            **({"memory_pool": "caching allocator, as it is needed, up to all that is free"} if gpu else {}),
        }

    def threads(self) -> dict[str, int]:
        return {"intra_op": torch.get_num_threads(), "inter_op": torch.get_num_interop_threads()}

    def stream(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        return batches

    def prefetch(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        return prefetch.ahead(batches, prefetch.Gpu())

    def put(self, *arrays: np.ndarray) -> tuple[Any, ...]:
        tensors = tuple(torch.as_tensor(array).to(os.environ["KERAS_TORCH_DEVICE"]) for array in arrays)
        self.sync(tensors)
        return tensors

    @contextlib.contextmanager
    def training(self, model: Any, images: Any, labels: Any) -> Iterator[Callable[[], Any]]:
        with _training_mode(model):
            yield lambda: model.train_function([(images, labels)])

    @contextlib.contextmanager
    def predicting(self, model: Any) -> Iterator[Callable[[Any], Any]]:
        model.make_predict_function()
        model.eval()
        yield lambda images: model.predict_function([(images,)])

    @contextlib.contextmanager
    def forwarding_in_training(self, model: Any) -> Iterator[Callable[[Any], Any]]:
        with _training_mode(model), torch.no_grad():
            yield lambda images: model(images, training=True)

    def gradient(self, function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
        (point,) = self.put(at)
        (gradient,) = torch.autograd.grad(function(point.requires_grad_()), point)
        return gradient.cpu().numpy()

    def native_models(
        self, model: str, weights: Mapping[str, np.ndarray], learning_rate: float, momentum: float, precision: str
    ) -> Mapping[str, NativeModel]:
        device = os.environ["KERAS_TORCH_DEVICE"]
        return native.native_models(model, weights, device, learning_rate, momentum, precision)

    def adding_in_place(self, count: int) -> Callable[[], Any]:
        device = os.environ["KERAS_TORCH_DEVICE"]
        total, summand = (torch.ones(count, dtype=torch.float32, device=device) for _ in range(2))
        return lambda: total.add_(summand)

    def sync(self, value: Any) -> None:
        # Work on a CPU is done when the call returns.
        if self._on_gpu():
            torch.cuda.current_stream().synchronize()  # not of the device: another stream may copy batches

    def peak_memory_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self._on_gpu() else None

    def reset_peak_memory(self) -> bool:
        if not self._on_gpu():
            return False
        torch.cuda.reset_peak_memory_stats()
        return True

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, torch.OutOfMemoryError) or is_lack_of_memory(error, RuntimeError)

    def is_divergence(self, error: BaseException) -> bool:
        return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_PROBABILITY)

    def _on_gpu(self) -> bool:
        return os.environ.get("KERAS_TORCH_DEVICE") == "cuda"


def _check_gpu() -> None:
    """Whether torch has a GPU, and can compute on it; DeviceError if not."""
    if not torch.cuda.is_available():
        raise DeviceError(f"torch {torch.__version__} finds no GPU: its build or the driver lacks CUDA")
    try:
        torch.zeros(1, device="cuda").cpu()
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"torch {torch.__version__} can't use its GPU: {first_line(error)}") from error


@contextlib.contextmanager
def _training_mode(model: Any) -> Iterator[None]:
    """The model trains in this block, and infers after it, whatever happens in it."""
    model.train()
    try:
        yield
    finally:
        model.eval()
