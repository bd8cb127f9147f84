"""Layer types, the loss and the optimizers on the backend of this process, against NumPy."""

from __future__ import annotations

import pytest

from bcdl.parity import known_differences

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
session = pytest.importorskip("bcdl.worker.session")
layer_checks = pytest.importorskip("bcdl.parity.worker.layer_checks")


def test_layer_types_agree_with_numpy_unless_a_difference_is_known() -> None:
    errors = layer_checks.check()
    beyond = {name for name, error in errors.items() if not error <= layer_checks.FLOAT32_TOLERANCE}
    if not layer_checks.optimizer_is_portable():
        beyond.add(known_differences.OPTIMIZER_IN_A_FILE)
    rows = known_differences.KNOWN_DIFFERENCES
    expected = {row.check for row in rows if row.backend == keras.backend.backend()}
    assert beyond == expected, "a new difference needs a row in known_differences.py; one that is gone, none"


def test_in_bfloat16_they_differ_where_they_differ_in_float32() -> None:
    """A backend that has a fault of its own in bfloat16 alone needs a row, and no wider tolerance."""
    session.set_keras_defaults("mixed_bfloat16")
    try:
        errors = layer_checks.check()
    finally:
        session.set_keras_defaults("float32")
    beyond = {name for name, error in errors.items() if not error <= layer_checks.BFLOAT16_TOLERANCE}
    rows = known_differences.KNOWN_DIFFERENCES
    expected = {row.check for row in rows if row.backend == keras.backend.backend()}
    assert beyond == expected - {known_differences.OPTIMIZER_IN_A_FILE}


def test_each_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in layer_checks.LAYER_CHECKS]
    assert len(set(names)) == len(names)
    assert all(name.startswith(row.layer_type) for name, row in zip(names, layer_checks.LAYER_CHECKS, strict=True))
