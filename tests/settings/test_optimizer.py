"""The optimizer, a setting like any other: what it does to the weights, and that all that names it follows its row."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bcdl.evaluation import utilisation
from bcdl.records import store
from bcdl.records.groups import group_records
from bcdl.settings.cell import Cell
from tests import pages
from tests.factory import cell

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
training = pytest.importorskip("bcdl.worker.training")

ROOT = Path(__file__).resolve().parents[2]
RATE = 0.125
INPUTS = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
LABELS = np.eye(2, dtype=np.float32)[np.arange(8) % 2]


def compiled(optimizer: str) -> Any:
    """A model of a single layer without bias, [N, 3] in and [N, 2] out."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="sigmoid", use_bias=False)])
    training.compile_model(model, cell(optimizer=optimizer), None, RATE)
    return model


def steps(optimizer: str, count: int) -> list[np.ndarray]:
    """The weights [3, 2] of a single layer before the first and after each step on the same batch."""
    model = compiled(optimizer)
    weights = [_weights(model)]
    for _ in range(count):
        model.fit(INPUTS, LABELS, batch_size=len(INPUTS), shuffle=False, verbose=0)
        weights.append(_weights(model))
    return weights


def _weights(model: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(model.layers[-1].kernel), dtype=np.float64)


def gradient(weights: np.ndarray) -> np.ndarray:
    """Of the mean binary cross-entropy over images and outputs: X^T (sigmoid(X W) - Y) / (N outputs)."""
    scores = 1 / (1 + np.exp(-(INPUTS.astype(np.float64) @ weights)))
    return INPUTS.T @ (scores - LABELS) / LABELS.size


def test_sgd_moves_weights_by_its_momentum() -> None:
    """Velocity v <- 0.9 v - rate g, then weights w <- w + v (Sutskever et al. 2013, equations 1 and 2)."""
    weights, velocity = steps("sgd", 4), np.zeros((3, 2))
    for before, after in itertools.pairwise(weights):
        velocity = 0.9 * velocity - RATE * gradient(before)
        np.testing.assert_allclose(after, before + velocity, rtol=1e-5, atol=1e-6)


def test_adam_moves_every_weight_by_about_its_rate_at_first() -> None:
    """Kingma and Ba 2015, section 2: the first step is rate g' / (|g'| + 1e-7) with g' = sqrt(1 - 0.999) g."""
    before, after = steps("adam", 1)
    scaled = np.sqrt(1 - 0.999) * gradient(before)
    np.testing.assert_allclose(after, before - RATE * scaled / (np.abs(scaled) + 1e-7), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", Cell.rows()["optimizer"].choices)
def test_every_optimizer_there_is_to_choose_trains(optimizer: str) -> None:
    before, after = steps(optimizer, 1)
    assert np.all(before != after)


@pytest.mark.parametrize("optimizer", Cell.rows()["optimizer"].choices)
def test_an_optimizer_keeps_as_many_slots_as_the_roofline_counts(optimizer: str) -> None:
    model = compiled(optimizer)
    model.optimizer.build(model.trainable_variables)
    slots = [variable for variable in model.optimizer.variables if variable.shape == (3, 2)]
    assert len(slots) == utilisation.OPTIMIZER_SLOTS[optimizer]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with twins, one trained by each optimizer on the same pictures."""
    folder = tmp_path_factory.mktemp("optimizers")
    pixels = np.random.default_rng(0)
    for label in ("benign", "malignant"):
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(24):
            image = Image.fromarray(pixels.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            image.save(folder / "pictures" / label / f"{number}.png")
    for optimizer in ("adam", "sgd"):
        arguments = ("--model", "cnn", "--profile", "smoke", "--data", str(folder / "pictures"), "--epochs", "1")
        more = ("--image-size", "32", "--no-timing", "--device", "cpu", "--results", str(folder / "results"))
        done = _run("bcdl.train", *arguments, *more, "--optimizer", optimizer)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )


@pytest.mark.any_backend
def test_records_say_which_optimizer_it_was_and_do_not_stand_in_one_table(results: Path) -> None:
    records, *_ = store.read_all(results)
    assert [record.cell.optimizer for _, record in records] == ["adam", "sgd"]
    titles = [group.title for group in group_records(records)]
    assert len(titles) == len(set(titles)) == 2
    page = pages.text(results)
    for title in ("Adam 0.0001, augmented", "SGD 0.0001, momentum 0.9, augmented"):
        assert sum(title in each for each in titles) == 1
        assert title in page


@pytest.mark.any_backend
def test_cards_say_which_optimizer_it_was(results: Path) -> None:
    cards = [file.read_text(encoding="utf-8") for file in (results / "cards").iterdir()]
    assert sorted("SGD, momentum 0.9, rate 0.0001;" in card for card in cards) == [False, True]
    assert sorted("Adam, rate 0.0001;" in card for card in cards) == [False, True]


@pytest.mark.any_backend
def test_an_optimizer_that_there_is_not_is_a_usage_error() -> None:
    done = _run("bcdl.train", "--model", "cnn", "--profile", "smoke", "--optimizer", "lion")
    assert done.returncode == 2
    assert "--optimizer 'lion' is unknown; use adam, sgd" in done.stderr
    assert "Traceback" not in done.stderr
