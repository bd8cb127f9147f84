"""Starts a session: configures the backend, then imports Keras, once a process and in this order.

A module that imports Keras at its top must not be imported before `start_backend` has returned: Keras reads its backend
as it is imported. So whoever starts a session imports such modules inside a function, after that.
"""

from __future__ import annotations

import os
from typing import Any

from bcdl import backends
from bcdl.machine import environment, places
from bcdl.settings.cell import Cell


def start_backend(name: str, device: str, precision: str) -> backends.Backend:
    """The adapter of backend `name`, configured, with Keras imported on it and set up for `precision`.

    Args:
        name: of a backend.
        device: `cpu` or `gpu`.
        precision: that of a cell, or `float64` for a parity reference.

    Raises:
        DeviceError: the device can't be had from this framework.
        UnsupportedError: the hardware lacks the precision.
    """
    environment.variables()  # as they are before a framework adds its own
    environment.prepare(device)
    places.settle()
    os.environ |= {"KERAS_BACKEND": name, "KERAS_NNX_ENABLED": "false"}  # whatever a user's keras.json says
    adapter = backends.load(name)
    adapter.configure(device, precision)
    set_keras_defaults(precision)
    return adapter


def start(cell: Cell) -> backends.Backend:
    """As `start_backend`, for a cell; UnsupportedError also if the backend lacks another of its settings."""
    adapter = start_backend(cell.backend, cell.device, cell.precision)
    apply_settings(adapter, cell)
    return adapter


def apply_settings(adapter: backends.Backend, cell: Cell) -> None:
    """Have a backend that was started choose kernels as the cell asks; UnsupportedError if it lacks a setting."""
    adapter.check_settings(cell.data_format, cell.input_transfer)
    adapter.set_autotune(cell.autotune == "on")


def forget_models(precision: str) -> None:
    """Drop what Keras holds of the models so far, and the names that it has counted.

    Keras forgets the dtype policy with them, so that it is set again: else the next model would compute in float32.
    """
    import keras  # here, as below

    keras.backend.clear_session()
    set_keras_defaults(precision)


def set_keras_defaults(precision: str) -> None:
    """Undo what a user's Keras configuration may hold, and set the precision's dtype policy."""
    import keras  # here: it reads KERAS_BACKEND as it is imported

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float64" if precision == "float64" else "float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy(precision if precision in ("mixed_bfloat16", "float64") else "float32")


def describe(adapter: backends.Backend) -> dict[str, Any]:
    """What the backend and Keras resolve to in this session, as JSON values: device, precision, jit, threads."""
    import keras  # here, as above

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    policy = keras.config.dtype_policy().name
    resolved = {"dtype_policy": policy, "jit_compile": bool(model.jit_compile), "threads": adapter.threads()}
    return {**adapter.describe(), **resolved}
