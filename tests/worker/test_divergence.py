"""A training that diverges is recorded as such on each backend, and never as an accuracy."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from bcdl.records.record import Record
from bcdl.worker import divergence, measurement
from bcdl.worker.divergence import DivergedError
from bcdl.worker.phases import Phases
from tests.factory import jobs

BACKEND = os.environ.get("KERAS_BACKEND", "")
SMALL = {"image_size": "32", "epochs": "2", "augment": False, "timing": False}


def test_a_loss_that_is_no_number_is_a_divergence() -> None:
    divergence.check_history({"loss": [0.7, 1e30], "val_loss": [0.5, 16.0]})
    for value, says in ((None, "of epoch 2 of the head"), (float("nan"), "epoch 2"), (float("inf"), "epoch 2")):
        with pytest.raises(DivergedError, match=f"the loss {says}|the loss of {says}"):
            divergence.check_history({"loss": [0.7, value]}, " of the head")
    with pytest.raises(DivergedError, match="the validation loss of epoch 1 is no finite number; use a smaller"):
        divergence.check_history({"loss": [0.7], "val_loss": [None]})


def test_outputs_that_are_no_numbers_or_speak_for_no_class_are_a_divergence() -> None:
    sound = np.array([[0.0, 0.0], [1.0, 0.0]], np.float32)
    divergence.check_outputs({"val": sound, "test": sound})
    broken = sound.copy()
    broken[1, 1] = np.nan
    with pytest.raises(DivergedError, match="the outputs of 1 of 2 test images are no finite numbers"):
        divergence.check_outputs({"val": sound, "test": broken})
    with pytest.raises(DivergedError, match="both outputs of each of the 2 val images are 0"):
        divergence.check_outputs({"val": np.zeros((2, 2), np.float32), "test": sound})


@pytest.mark.keras
def test_weights_that_hold_a_value_that_is_no_number_are_counted() -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])
    divergence.check_weights(model)
    for layer, value in zip(model.layers, (np.nan, np.inf), strict=True):
        layer.bias.assign(np.array([0, value], np.float32))
    assert divergence.broken_weights(model) == 2
    with pytest.raises(DivergedError, match="2 of the model's 4 weights hold values that are not finite"):
        divergence.check_weights(model)


def measured(**options: Any) -> Record:
    pytest.importorskip("keras")
    (job,) = jobs(BACKEND, "cnn", **{**SMALL, **options})
    outcome, model = measurement.run(job, "a-run", Phases())
    assert model is None
    return outcome


@pytest.mark.keras
@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": "1e6"},
        {"learning_rate": "1e20"},
        {"learning_rate": "1e38", "keep": "last"},
        {"learning_rate": "1e20", "optimizer": "sgd"},
        {"learning_rate": "1e20", "head_epochs": "1"},
        {"learning_rate": "1e20", "class_weights": True},
        {"learning_rate": "1e20", "batch_norm": "moving", "epochs": "1"},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_a_huge_learning_rate_gives_no_accuracy(options: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Before, two backends gave `ok` and the share of the more frequent class, and the third a RuntimeError."""
    outcome = measured(**options)
    assert outcome.status == "diverged", outcome.reason
    assert outcome.reason.startswith("the training diverged: ")
    assert outcome.reason.endswith("; use a smaller --learning-rate")
    assert not outcome.predictions
    assert not [name for name in outcome.metrics if name.startswith("test_")]
    for name, values in outcome.history.items():
        loss = outcome.history["head_loss" if name.startswith("head_") else "loss"]
        assert [
            value for value, of_epoch in zip(values, loss, strict=True) if of_epoch is None and value is not None
        ] == []
    assert Record.from_json(outcome.to_json()).status == "diverged"
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.keras
def test_a_training_that_has_diverged_goes_on_no_longer() -> None:
    outcome = measured(learning_rate="1e20", epochs="30")
    assert all(len(values) <= 2 for values in outcome.history.values())


@pytest.mark.keras
def test_weights_that_are_no_numbers_are_a_divergence_though_outputs_are() -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dense(2)])
    divergence.check_weights(model)
    model.layers[0].bias.assign(np.array([np.inf, 0], np.float32))
    with pytest.raises(DivergedError, match="1 of the model's 4 weights hold values that are not finite"):
        divergence.check_weights(model)
