"""Starts a session: configures the backend, then imports Keras, once a process and in this order.

A module that imports Keras at its top must not be imported before `start_backend` has returned: Keras reads its backend
as it is imported. So whoever starts a session imports such modules inside a function, after that.
"""

from __future__ import annotations

import os
from typing import Any

from bcdl import backends
from bcdl.machine import environment


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
    os.environ |= {"KERAS_BACKEND": name, "KERAS_NNX_ENABLED": "false"}  # whatever a user's keras.json says
    adapter = backends.load(name)
    adapter.configure(device, precision)
    set_keras_defaults(precision)
    return adapter


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
