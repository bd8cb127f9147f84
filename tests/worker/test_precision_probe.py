"""Rounding gives the arithmetic away, and a wrong one fails the record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from bcdl import backends
from bcdl.worker import measurement, session
from bcdl.worker.phases import Phases
from tests.factory import jobs

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
probe = pytest.importorskip("bcdl.worker.precision_probe")

BACKEND = os.environ.get("KERAS_BACKEND", "")


@pytest.fixture(scope="module")
def adapter() -> backends.Backend:
    return session.start_backend(BACKEND, "cpu", "float32")


@pytest.fixture(autouse=True)
def policy() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_precision_that_was_set_is_found(adapter: backends.Backend, precision: str) -> None:
    keras.config.set_dtype_policy(precision)
    found = probe.arithmetic(adapter)
    assert (set(found.values()), probe.judge(precision, found)) == ({probe.ARITHMETIC[precision]}, "")


@pytest.mark.parametrize("operation", ["matmul", "conv"])
def test_tf32_is_distinguished_from_both(adapter: backends.Backend, operation: str) -> None:
    """No CPU has it: inputs rounded to a fraction of 10 bits stand in for it."""
    layer, shape = probe._operations()[operation]
    whole = layer.call
    layer.call = lambda inputs, **named: whole(keras.ops.round(inputs * 2.0**10) / 2.0**10)
    assert probe._kind(adapter, layer, shape) == "tf32"


def test_the_probe_runs_as_the_model_does(adapter: backends.Backend) -> None:
    """Traced on JAX and TensorFlow: what a compiler permits itself shows in compiled functions alone."""
    seen = set()
    layer, shape = probe._operations()["matmul"]
    whole = layer.call

    def call(inputs: Any, **named: Any) -> Any:
        seen.add(type(inputs).__name__)
        return whole(inputs)

    layer.call = call
    probe._kind(adapter, layer, shape)
    assert seen
    assert not seen & {"ArrayImpl", "EagerTensor"}


@pytest.mark.parametrize(
    ("precision", "found", "said"),
    [
        ("float32", "float32", ""),
        ("tf32", "tf32", ""),
        ("mixed_bfloat16", "bfloat16", ""),
        ("tf32", "float32", "tf32 was permitted and not used: the conv rounds like float32"),
        ("mixed_bfloat16", "tf32", "mixed_bfloat16 was permitted and not used: the conv rounds"),
    ],
)
def test_arithmetic_more_precise_than_asked_for_is_noted(precision: str, found: str, said: str) -> None:
    note = probe.judge(precision, {"matmul": probe.ARITHMETIC[precision], "conv": found})
    assert note.startswith(said)
    assert bool(note) == bool(said)


@pytest.mark.parametrize(("precision", "found"), [("float32", "tf32"), ("float32", "bfloat16"), ("tf32", "bfloat16")])
def test_arithmetic_less_precise_than_asked_for_fails(precision: str, found: str) -> None:
    with pytest.raises(probe.PrecisionError, match=f"{precision} was asked for, but the conv rounds like {found}"):
        probe.judge(precision, {"matmul": "float32", "conv": found})


def test_more_precise_arithmetic_is_a_note_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "arithmetic", lambda adapter: {"matmul": "float32", "conv": "bfloat16"})
    (job,) = jobs(BACKEND, "cnn", precision="mixed_bfloat16", epochs="1", image_size="32", timing=False)
    record, _ = measurement.run(job, "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    (note,) = record.environment["notes"]
    assert note == "mixed_bfloat16 was permitted and not used: the matmul rounds like float32"


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
