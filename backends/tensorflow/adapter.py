"""The adapter of TensorFlow: what Keras has no function for."""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import (
    DeviceError,
    NativeModel,
    UnsupportedError,
    check_precision,
    first_line,
    is_lack_of_memory,
    threads_named,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported
import tensorflow as tf

# Batches made ahead of the step, besides those that the input pipeline itself keeps ready.
_PREFETCHED_BATCHES = 2


class Adapter:
    name = "tensorflow"

    def __init__(self) -> None:
        self._device = "/CPU:0"  # that computes
        # Traced functions by model, mode and dtype; a new function would be traced again.
        self._forwards: weakref.WeakKeyDictionary[Any, dict[Any, Callable[..., Any]]] = weakref.WeakKeyDictionary()

    def configure(self, device: str, precision: str) -> None:
        check_precision(device, precision)
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
            # Keras compiles by XLA if any GPU is listed (Trainer._resolve_auto_jit_compile), hidden or not; on a
            # machine without one it does not, and a CPU is to mean the same on both.
            tf.config.list_physical_devices = tf.config.get_visible_devices
        else:
            _use_gpus()
            self._device = "/GPU:0"
        tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")

    def make_deterministic(self) -> None:
        # Deterministic TensorFlow draws only from a seed; nothing that is measured draws from this one.
        tf.random.set_seed(0)
        tf.config.experimental.enable_op_determinism()

    def check_settings(self, data_format: str, input_transfer: str) -> None:
        if input_transfer == "prefetched":
            raise UnsupportedError("tf.data copies batches to a GPU ahead in any case; leave --input-transfer out")
        if data_format == "channels_first" and not self._gpu():
            raise UnsupportedError("TensorFlow's kernels for CPUs take channels_last only; leave --data-format out")

    def set_autotune(self, on: bool) -> None:
        if on:
            raise UnsupportedError("TensorFlow times a GPU's kernels in any case; leave --autotune out")

    def cache_compilations(self, folder: Path | None) -> None:
        raise UnsupportedError(
            "TensorFlow keeps no compiled functions from one process to the next, so there is no cache to measure"
        )

    def describe(self) -> dict[str, Any]:
        gpu = self._gpu()
        name = tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) if gpu else "cpu"
        return {
            "device": name,
            "platform": "gpu" if gpu else "cpu",
            "precision_flags": {
                "tensor_float_32_execution": tf.config.experimental.tensor_float_32_execution_enabled()
            },
            "autotune": "TensorFlow or XLA" if gpu else "off",
            "compilation_cache": "off",
            **({"memory_pool": "BFC allocator, as it is needed, up to all that is free"} if gpu else {}),
        }

    def threads(self) -> dict[str, int]:
        return {"intra_op": _intra_op_threads(), **threads_named(inter_op="tf_Compute")}

    def stream(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        source = iter(batches)
        first = next(source)

        def generate() -> Iterable[tuple[np.ndarray, np.ndarray]]:
            yield first
            yield from source

        # A signature of full shapes, the one that `training` uses too: both share one traced function.
        signature = tuple(tf.TensorSpec(array.shape, array.dtype) for array in first)
        return self._to_device(tf.data.Dataset.from_generator(generate, output_signature=signature))

    def prefetch(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        return self.stream(batches)

    def put(self, *arrays: np.ndarray) -> tuple[Any, ...]:
        with tf.device(self._device):
            return tuple(tf.convert_to_tensor(array) for array in arrays)

    @contextlib.contextmanager
    def training(self, model: Any, images: Any, labels: Any) -> Iterator[Callable[[], Any]]:
        # Tensors, and no iterator of tf.data, which copies them from the host each time. Both lead to the one function
        # that `fit` has traced: it is the same for inputs of the same shapes and types.
        yield lambda: model.train_function(iter([(images, labels)]))

    @contextlib.contextmanager
    def predicting(self, model: Any) -> Iterator[Callable[[Any], Any]]:
        yield self._forward(model, training=False)

    @contextlib.contextmanager
    def forwarding_in_training(self, model: Any) -> Iterator[Callable[[Any], Any]]:
        yield self._forward(model, training=True)

    def gradient(self, function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
        point = tf.convert_to_tensor(at)
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = function(point)
        return tape.gradient(value, point).numpy()

    def native_models(
        self, model: str, weights: Mapping[str, np.ndarray], learning_rate: float, momentum: float, precision: str
    ) -> Mapping[str, NativeModel]:
        return {}  # a model written in TensorFlow is a Keras model

    def adding_in_place(self, count: int) -> Callable[[], Any]:
        total, summand = tf.Variable(tf.ones(count)), tf.ones(count)
        return lambda: total.assign_add(summand, read_value=False)

    def sync(self, value: Any) -> None:
        tf.test.experimental.sync_devices()

    def peak_memory_bytes(self) -> int | None:
        try:
            return tf.config.experimental.get_memory_info("GPU:0")["peak"] if self._gpu() else None
        except ValueError:  # the allocator keeps no statistics
            return None

    def reset_peak_memory(self) -> bool:
        try:
            tf.config.experimental.reset_memory_stats("GPU:0")
        except ValueError:  # there is no GPU, or its allocator keeps no statistics
            return False
        return True

    def is_out_of_memory(self, error: BaseException) -> bool:
        return is_lack_of_memory(error, tf.errors.OpError, RuntimeError)

    def is_divergence(self, error: BaseException) -> bool:
        return False  # TensorFlow computes on with what is no number

    def _forward(self, model: Any, training: bool) -> Callable[[Any], Any]:
        """The model's forward pass, traced once for batches of any size, as `model.predict` has it."""
        functions = self._forwards.setdefault(model, {})

        def forward(images: Any) -> Any:
            if (training, images.dtype) not in functions:
                call = functools.partial(_call, weakref.ref(model), training=training)
                signature = [tf.TensorSpec(model.input_shape, images.dtype)]
                traced = tf.function(call, input_signature=signature, jit_compile=model.jit_compile)
                functions[training, images.dtype] = traced
            return functions[training, images.dtype](images)

        return forward

    def _gpu(self) -> Any:
        return next(iter(tf.config.get_visible_devices("GPU")), None)

    def _to_device(self, dataset: Any) -> Any:
        if not self._gpu():
            return dataset.prefetch(_PREFETCHED_BATCHES)
        return dataset.apply(tf.data.experimental.prefetch_to_device(self._device, _PREFETCHED_BATCHES))


def _use_gpus() -> None:
    """Have TensorFlow take the GPUs' memory as it needs it, and see whether one can be used; DeviceError if not."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise DeviceError("TensorFlow finds no GPU: tensorflow-cpu is installed, or its CUDA libraries are missing")
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        with tf.device("/GPU:0"):
            place = tf.zeros(1).device
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise DeviceError(f"TensorFlow {tf.__version__} can't use its GPU: {first_line(error)}") from error
    if "GPU" not in place:  # TensorFlow computes elsewhere without a word
        raise DeviceError(f"TensorFlow {tf.__version__} lists a GPU, and computes on {place} all the same")


def _intra_op_threads() -> int:
    """How many threads an operation has, by TensorFlow's own rule: their names are too long for Linux to have them.

    Its answer is 0 if nobody chose a number; then it takes the variable's, or a thread for each processor that may be
    used (tensorflow/core/common_runtime/local_device.cc).
    """
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    chosen: int = tf.config.threading.get_intra_op_parallelism_threads()
    return chosen or (int(variable) if variable.isdecimal() else 0) or len(processors)


def _call(model: Callable[[], Any], images: Any, training: bool) -> Any:
    """Outputs of the model that the reference gives."""
    return model()(images, training=training)
