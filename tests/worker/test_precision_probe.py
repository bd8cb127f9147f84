"""Rounding gives the arithmetic away, and a wrong one fails the record."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from bcdl.worker import measurement, session
from bcdl.worker.phases import Phases
from tests.factory import jobs

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
probe = pytest.importorskip("bcdl.worker.precision_probe")

BACKEND = os.environ.get("KERAS_BACKEND", "")


@pytest.fixture(autouse=True)
def policy() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_precision_that_was_set_is_found(precision: str) -> None:
    keras.config.set_dtype_policy(precision)
    assert set(probe.check(precision).values()) == {probe.ARITHMETIC[precision]}


def test_tf32_is_distinguished_from_both() -> None:
    """No CPU has it: inputs rounded to a fraction of 10 bits stand in for it."""
    layer, shape = probe._operations()["matmul"]
    layer.build(shape)
    layer.kernel.assign(np.ones(layer.kernel.shape, dtype=np.float32))
    whole = layer.call
    layer.call = lambda inputs: whole(keras.ops.round(inputs * 2.0**10) / 2.0**10)
    kept = {kind: probe._keeps(layer, shape, step) for kind, step in probe._STEPS.items()}
    assert kept == {"float32": False, "tf32": True}


def test_arithmetic_other_than_asked_for_fails_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    # A user's setting that wins over the harness's.
    monkeypatch.setattr(
        session, "set_keras_defaults", lambda precision: keras.config.set_dtype_policy("mixed_bfloat16")
    )
    (job,) = jobs(BACKEND, "cnn")
    record, model = measurement.run(job, "a-run", Phases())
    assert record.status == "failed"
    assert "float32 was asked for, but the matmul rounds like bfloat16" in record.reason
    assert model is None
