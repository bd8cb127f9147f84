"""The adapter of JAX: what Keras has no function for."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from .. import (
    DeviceError,
    NativeModel,
    StateLostError,
    UnsupportedError,
    check_precision,
    check_transfer_to_cpu,
    first_line,
    is_lack_of_memory,
    threads_named,
)
from . import native

# The share of all the GPU's memory that XLA's pool takes, unless a user's variable says otherwise: by its own
# default, three quarters, the largest batch would be one of three quarters of the GPU. A tenth is left to what lies
# outside the pool: compiled kernels, cuDNN and cuBLAS.
_POOL_SHARE = "0.9"
_POOL_VARIABLES = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")  # the second is the older name
_MATMUL_PRECISION = {"float32": "float32", "tf32": "tensorfloat32", "mixed_bfloat16": "default", "float64": "float32"}

# Copied to the device before they are asked for; Keras copies one (keras/src/backend/jax/trainer.py).
_PREFETCHED_BATCHES = 2


class Adapter:
    name = "jax"

    def __init__(self) -> None:
        # Compiled functions by model; a new function would be compiled again.
        self._cache, self._compiled_anew = "off", 0
        self._forwards: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()

    def configure(self, device: str, precision: str) -> None:
        check_precision(device, precision)
        jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda")
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()  # or one that this process has used stays in use
        jax.config.update("jax_enable_x64", precision == "float64")
        jax.config.update("jax_default_matmul_precision", _MATMUL_PRECISION[precision])
        if device == "gpu" and not any(os.environ.get(name) for name in _POOL_VARIABLES):
            os.environ[_POOL_VARIABLES[0]] = _POOL_SHARE  # XLA reads it when JAX looks for its first device
        try:
            jax.block_until_ready(jax.device_put(0.0))
        except Exception as error:  # without a plugin for CUDA it is an AssertionError that says nothing
            wanting = "its CUDA plugin is not installed" if isinstance(error, AssertionError) else first_line(error)
            raise DeviceError(f"JAX {jax.__version__} finds no {device} that it can use: {wanting}") from error

    def make_deterministic(self) -> None:
        # XLA reads the flags when JAX looks for its first device; on CPUs it is deterministic already.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()

    def check_settings(self, data_format: str, input_transfer: str) -> None:
        if jax.default_backend() == "cpu":
            check_transfer_to_cpu(input_transfer)

    def set_autotune(self, on: bool) -> None:
        if on:
            raise UnsupportedError("XLA times a GPU's kernels in any case; leave --autotune out")

    def cache_compilations(self, folder: Path | None) -> None:
        if folder is None:
            jax.config.update("jax_enable_compilation_cache", False)
            compilation_cache.reset_cache()
            return
        if self._cache == "off":
            jax.monitoring.register_event_listener(self._count)
        self._cache, self._compiled_anew = ("warm" if any(folder.iterdir()) else "cold"), 0
        jax.config.update("jax_enable_compilation_cache", True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # XLA's own caches would make the folder's path a part of every key, so that no other folder could serve.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        compilation_cache.reset_cache()  # or the former folder stays in use
        jax.clear_caches()

    def describe(self) -> dict[str, Any]:
        device = jax.devices()[0]
        return {
            "device": device.device_kind,
            "platform": device.platform,
            "precision_flags": {"jax_default_matmul_precision": jax.config.jax_default_matmul_precision},
            "autotune": "XLA" if device.platform != "cpu" else "off",
            "compilation_cache": "partly warm" if self._cache == "warm" and self._compiled_anew else self._cache,
            **({} if device.platform == "cpu" else {"memory_pool": _memory_pool()}),
        }

    def threads(self) -> dict[str, int]:
        return threads_named(intra_op="tf_XLAEigen")  # XLA has no function that says so

    def _count(self, event: str, **facts: Any) -> None:
        self._compiled_anew += event == "/jax/compilation_cache/cache_misses"

    def stream(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        return batches

    def prefetch(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        return _ahead(batches)

    def put(self, *arrays: np.ndarray) -> tuple[Any, ...]:
        return tuple(jax.block_until_ready(jax.device_put(list(arrays))))

    @contextlib.contextmanager
    def training(self, model: Any, images: Any, labels: Any) -> Iterator[Callable[[], Any]]:
        with _state(
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        ) as state:

            def step() -> Any:
                logs, state[:] = model.train_function(tuple(state), iter([(images, labels)]))
                return logs

            yield step

    @contextlib.contextmanager
    def predicting(self, model: Any) -> Iterator[Callable[[Any], Any]]:
        model.make_predict_function()
        with _state(model.trainable_variables, model.non_trainable_variables) as state:

            def forward(images: Any) -> Any:
                outputs, state[:] = model.predict_function(tuple(state), iter([(images,)]))
                return outputs

            yield forward

    @contextlib.contextmanager
    def forwarding_in_training(self, model: Any) -> Iterator[Callable[[Any], Any]]:
        if model not in self._forwards:
            self._forwards[model] = jax.jit(functools.partial(_forward_in_training, weakref.ref(model)))
        compiled, weights = self._forwards[model], [variable.value for variable in model.trainable_variables]
        with _state(model.non_trainable_variables) as state:

            def forward(images: Any) -> Any:
                outputs, state[0] = compiled(weights, state[0], images)
                return outputs

            yield forward

    def gradient(self, function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
        return np.asarray(jax.grad(function)(*self.put(at)))

    def native_models(
        self, model: str, weights: Mapping[str, np.ndarray], learning_rate: float, momentum: float, precision: str
    ) -> Mapping[str, NativeModel]:
        return native.native_models(model, weights, learning_rate, momentum, precision)

    def adding_in_place(self, count: int) -> Callable[[], Any]:
        total, summand = (jax.numpy.ones(count, dtype=jax.numpy.float32) for _ in range(2))
        compiled = jax.jit(jax.numpy.add, donate_argnums=0)

        def add() -> Any:
            nonlocal total
            total = compiled(total, summand)
            return total

        return add

    def sync(self, value: Any) -> None:
        jax.block_until_ready(value)

    def peak_memory_bytes(self) -> int | None:
        # JAX preallocates, so nvidia-smi misleads; on a CPU there are no statistics.
        statistics = jax.devices()[0].memory_stats()
        return statistics.get("peak_bytes_in_use") if statistics else None

    def reset_peak_memory(self) -> bool:
        return False  # JAX has no function for it

    def is_out_of_memory(self, error: BaseException) -> bool:
        return is_lack_of_memory(error, RuntimeError)

    def is_divergence(self, error: BaseException) -> bool:
        return isinstance(error, FloatingPointError)  # raised only if JAX_DEBUG_NANS asks for it


def _ahead(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[Any]:
    """The batches as arrays of the device; the next `_PREFETCHED_BATCHES` of them are on their way there."""
    under_way: collections.deque[Any] = collections.deque()
    for batch in batches:
        under_way.append(jax.device_put(batch))
        if len(under_way) > _PREFETCHED_BATCHES:
            yield under_way.popleft()
    yield from under_way


def _forward_in_training(model: Callable[[], Any], weights: list[Any], others: list[Any], images: Any) -> Any:
    """Outputs and moved state of the model that the reference gives."""
    return model().stateless_call(weights, others, images, training=True)


def _memory_pool() -> str:
    """How XLA takes the GPU's memory, by the variables that jaxlib/xla_client.py reads."""
    share = next(filter(None, map(os.environ.get, _POOL_VARIABLES)), "0.75")
    kept = os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE") in ("false", "False", "0")
    allocator = os.environ.get("XLA_PYTHON_CLIENT_ALLOCATOR", "default").lower()
    return f"{allocator} allocator, {share} of all memory, {'as it is needed' if kept else 'taken at the start'}"


@contextlib.contextmanager
def _state(*groups: list[Any]) -> Iterator[list[Any]]:
    """The values of groups of variables, as Keras's stateless functions take them; assigned to them at the end.

    The functions donate the buffers that they are called with, so that the variables hold nothing until then. The
    values are those of the last step that did not raise, and are assigned even if one did: unless it took them along.

    Raises StateLostError if it begins with variables whose values are lost.
    """
    state = [[variable.value for variable in group] for group in groups]
    if _lost(state):
        raise StateLostError("a step that failed took the model's state along; build or load the model anew")
    try:
        yield state
    except BaseException:
        _drop_failed(state)
        raise
    finally:
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                if not value.is_deleted():
                    variable.assign(value)


def _lost(state: list[list[Any]]) -> bool:
    return any(value.is_deleted() for values in state for value in values)


def _drop_failed(state: list[list[Any]]) -> None:
    """Delete the values whose computation failed: a step returns before it has run, and its error comes later."""
    for value in itertools.chain.from_iterable(state):
        if not value.is_deleted():
            try:
                jax.block_until_ready(value)
            except RuntimeError:
                value.delete()
