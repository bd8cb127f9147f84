"""Environment variables that a process which measures must not have, whatever its user has set."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bcdl.machine import provenance

# Keras reads these when it is imported, and then trains less than was asked for, or by other code.
UNWANTED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")


def without_unwanted(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those of `UNWANTED`: what a new process should start with."""
    return {name: value for name, value in variables.items() if name not in UNWANTED}


def of_child() -> dict[str, str]:
    """The variables for a process that runs this very bcdl: those of this process, less `UNWANTED`."""
    variables = without_unwanted(os.environ)
    paths = [*provenance.python_path(), variables.get("PYTHONPATH")]
    return {**variables, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def clear_unwanted() -> None:
    """Remove the variables of `UNWANTED` from this process; to be called before Keras is imported."""
    for name in UNWANTED:
        os.environ.pop(name, None)
