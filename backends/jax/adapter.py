"""What Keras has no word for, on JAX."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from backends import DeviceError, check_precision

_MATMUL_PRECISION = {"float32": "float32", "tf32": "tensorfloat32", "mixed_bfloat16": "default"}


class Adapter:
    name = "jax"

    def configure(self, device: str, precision: str) -> None:
        check_precision(device, precision)
        jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda")
        jax.config.update("jax_enable_compilation_cache", False)
        jax.config.update("jax_default_matmul_precision", _MATMUL_PRECISION[precision])
        try:
            jax.devices()
        except RuntimeError as error:
            raise DeviceError(f"JAX finds no {device}: {error}") from error

    def describe(self) -> dict[str, Any]:
        device = jax.devices()[0]
        return {
            "device": device.device_kind,
            "platform": device.platform,
            "precision_flags": {"jax_default_matmul_precision": jax.config.jax_default_matmul_precision},
            "compilation_cache": "off",
        }

    def stream(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
        return batches

    def put(self, *arrays: np.ndarray) -> tuple[Any, ...]:
        return tuple(jax.block_until_ready(jax.device_put(list(arrays))))

    def train_steps(self, model: Any, images: Any, labels: Any, count: int) -> Any:
        variables = [
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        ]
        state = tuple([v.value for v in group] for group in variables)
        logs = None
        for _ in range(count):
            logs, state = model.train_function(state, iter([(images, labels)]))
        _assign(variables, state)
        return logs

    def predict_steps(self, model: Any, batches: Iterable[Any]) -> list[Any]:
        model.make_predict_function()
        variables = [model.trainable_variables, model.non_trainable_variables]
        state = tuple([v.value for v in group] for group in variables)
        outputs = []
        for images in batches:
            output, state = model.predict_function(state, iter([(images,)]))
            outputs.append(output)
        _assign(variables, state)
        return outputs

    def sync(self, value: Any) -> None:
        jax.block_until_ready(value)

    def peak_memory_bytes(self) -> int | None:
        # JAX preallocates, so nvidia-smi misleads; on a CPU there are no statistics.
        statistics = jax.devices()[0].memory_stats()
        return statistics["peak_bytes_in_use"] if statistics else None

    def is_out_of_memory(self, error: BaseException) -> bool:
        return "RESOURCE_EXHAUSTED" in str(error)


def _assign(variables: list[list[Any]], state: tuple[list[Any], ...]) -> None:
    """Give the model's variables their new values: the old buffers were donated to the step."""
    for group, values in zip(variables, state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)
