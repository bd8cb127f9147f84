"""The real worker, with the frameworks' own failures: `python -m tests.faults.real_worker FAULT JOB RESULT EVENTS`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from bcdl.worker import measurement


def ask_for_too_much(*arguments: Any) -> None:
    import keras

    np.asarray(keras.ops.zeros((2**46,), "float32"))  # 256 TiB


def multiply_what_does_not_fit(*arguments: Any) -> None:
    import keras

    keras.ops.matmul(keras.ops.ones((2, 3)), keras.ops.ones((2, 3)))


if __name__ == "__main__":
    faults = {fault.__name__: fault for fault in (ask_for_too_much, multiply_what_does_not_fit)}
    sys.exit(measurement.serve(*sys.argv[2:], process=measurement.Process(faults[sys.argv[1]])))
