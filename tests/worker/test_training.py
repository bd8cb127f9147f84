"""How training ends: which epoch is kept, what is frozen, what inference normalises by; on the real framework."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bcdl import backends, datasets
from bcdl.records.record import Record
from bcdl.settings.job import Job
from bcdl.worker import measurement, session
from bcdl.worker.input_pipeline import one_hot
from bcdl.worker.phases import Phases
from tests.factory import jobs

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
fitting = pytest.importorskip("bcdl.worker.fitting")
prepared_cell = pytest.importorskip("bcdl.worker.prepared")
training = pytest.importorskip("bcdl.worker.training")
batch_norm = pytest.importorskip("bcdl.worker.batch_norm")

BACKEND = os.environ.get("KERAS_BACKEND", "")
SMALL = {"image_size": "32", "augment": False, "timing": False}


@pytest.fixture(scope="module")
def adapter() -> backends.Backend:
    return session.start_backend(BACKEND, "cpu", "float32")


def one_job(model: str = "cnn", **options: Any) -> Job:
    (job,) = jobs(BACKEND, model, **{**SMALL, **options})
    return job


def run(model: str = "cnn", **options: Any) -> tuple[Record, Any]:
    record, trained = measurement.run(one_job(model, **options), "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    return record, trained


def norms(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def test_the_best_epoch_by_validation_loss_is_tested() -> None:
    """At so high a rate that the loss jumps about; the record's own validation scores say which epoch it was."""
    record, _ = run(epochs="5", learning_rate="0.03")
    losses = record.history["val_loss"]
    assert record.metrics["kept_epoch"] == 1 + int(np.argmin(losses))
    outputs, labels = (np.array(record.predictions["val"][name]) for name in ("outputs", "labels"))
    p = np.clip(outputs, 1e-7, 1 - 1e-7)
    entropy = -np.mean(np.where(one_hot(labels) > 0, np.log(p), np.log(1 - p)))
    assert entropy == pytest.approx(min(losses), rel=1e-4)


def test_the_last_epoch_is_tested_if_asked_for() -> None:
    record, _ = run(epochs="3", learning_rate="0.03", keep="last")
    assert record.metrics["kept_epoch"] == 3


def test_patience_ends_training_early() -> None:
    record, _ = run(epochs="30", learning_rate="0.1", patience="2")
    losses = record.history["val_loss"]
    assert len(losses) < 30
    assert len(losses) == record.metrics["kept_epoch"] + 2


def test_no_model_of_a_cell_that_is_not_tested_sees_a_test_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is as if it were tested: its training, and what its model says of validation images."""
    tested, _ = run(epochs="2")
    shown: list[np.ndarray] = []
    really = fitting.outputs

    def outputs(model: Any, adapter: Any, images: np.ndarray, batch_size: int) -> np.ndarray:
        shown.extend(images)
        return really(model, adapter, images, batch_size)

    monkeypatch.setattr(fitting, "outputs", outputs)
    record, _ = run(epochs="2", test=False)
    request = one_job(test=False).request
    dataset = datasets.load(request)
    of_test, of_val = ({image.tobytes() for image in split.images} for split in (dataset.test, dataset.val))
    seen = {image.tobytes() for image in shown}
    assert of_val <= seen
    assert not of_test & seen
    assert list(record.predictions) == ["val"]
    assert not [name for name in record.metrics if name.startswith("test_")]
    for name, values in tested.history.items():  # threads may add in another order
        assert record.history[name] == pytest.approx(values, abs=1e-3)
    np.testing.assert_allclose(record.predictions["val"]["outputs"], tested.predictions["val"]["outputs"], atol=1e-3)
    of_kept = record.history["val_auroc"][int(record.metrics["kept_epoch"]) - 1]
    assert record.metrics["val_auroc"] == pytest.approx(of_kept)


def test_a_cell_without_timing_records_no_time() -> None:
    record, _ = run(epochs="1")
    assert record.samples == {}
    assert not [name for name in record.metrics if name.endswith(("_s", "_mib"))]
    assert record.metrics["test_accuracy"] is not None


def test_reestimated_statistics_are_means_of_the_batches(adapter: backends.Backend) -> None:
    """Against NumPy: of a batch norm on the images themselves, batch means and (biased) variances are known.

    With momentum m and K batches the weights (1 - m) m^(K-1-j) / (1 - m^K) add up to 1, the last batch the heaviest.
    Nothing else may change meanwhile: no weight, no slot of the optimizer, no random state.
    """
    generator = np.random.default_rng(0)
    inputs = keras.Input((4, 4, 3))
    norm = keras.layers.BatchNormalization(momentum=0.9)
    features = keras.layers.Dropout(0.5, seed=0)(keras.layers.Flatten()(norm(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="sigmoid")(features))
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="binary_crossentropy", metrics=["accuracy"])
    batches = [generator.normal(3, 2, (8, 4, 4, 3)).astype(np.float32) for _ in range(5)]
    model.fit(batches[0], one_hot(np.arange(8) % 2), batch_size=8, verbose=0)
    before = {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in (*model.variables, *model.optimizer.variables)}
    batch_norm.reestimate(model, adapter, batches)
    weights = 0.1 * 0.9 ** np.arange(4, -1, -1) / (1 - 0.9**5)
    for average, statistic in ((norm.moving_mean, np.mean), (norm.moving_variance, np.var)):
        wanted = sum(w * statistic(images, axis=(0, 1, 2)) for w, images in zip(weights, batches, strict=True))
        np.testing.assert_allclose(keras.ops.convert_to_numpy(average), wanted, rtol=1e-4)
    for variable in (*model.variables, *model.optimizer.variables):
        if "moving" not in variable.path:
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), before[variable.path], variable.path)


def test_reestimation_settles_what_a_short_training_leaves_stale_and_leaves_training_alone() -> None:
    """After 14 steps Keras's averages of the head have come 1 - 0.99^14 = 13 percent of their way from 0."""
    models = {mode: run(epochs="2", batch_norm=mode, keep="last")[1] for mode in ("moving", "reestimated")}
    trained = ([keras.ops.convert_to_numpy(v) for v in model.trainable_weights] for model in models.values())
    for stale, settled in zip(*trained, strict=True):
        np.testing.assert_allclose(stale, settled, rtol=1e-3, atol=1e-5)
    means = {
        name: keras.ops.convert_to_numpy(model.get_layer("head_norm").moving_mean) for name, model in models.items()
    }
    assert 0.05 < np.linalg.norm(means["moving"]) / np.linalg.norm(means["reestimated"]) < 0.25


def test_a_frozen_backbone_keeps_its_statistics_and_trains_the_rest() -> None:
    job = one_job("mobilenet", batch_norm="frozen", epochs="1", learning_rate="0.01")
    before = prepared_cell.build(job)
    _, after = measurement.run(job, "a-run", Phases())
    pairs = list(zip(norms(before), norms(after), strict=True))
    *backbone, (head_before, head_after) = pairs
    assert len(backbone) == 27
    for old, new in backbone:
        for a, b in zip(old.weights, new.weights, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    moved = np.abs(keras.ops.convert_to_numpy(head_after.moving_mean - head_before.moving_mean))
    assert moved.max() > 0
    assert after.get_layer("mobilenet_1.00_32").get_layer("conv1").kernel.trainable


def test_the_head_is_trained_alone_first(adapter: backends.Backend) -> None:
    job = one_job("mobilenet", head_epochs="1", epochs="1")
    prepared = prepared_cell.prepare(job, adapter)
    model = prepared.model
    before = {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in model.weights}
    history = fitting.fit_head(prepared)
    assert len(history["loss"]) == 1
    changed = {path for path, v in before.items() if np.any(v != keras.ops.convert_to_numpy(_named(model, path)))}
    assert changed
    assert not [path for path in changed if "mobilenet" in path], "the backbone was to be frozen"
    assert len(model.trainable_weights) > 80, "all of it trains afterwards"
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(1e-4)


def _named(model: Any, path: str) -> Any:
    return next(variable for variable in model.weights if variable.path == path)


def test_class_weights_balance_the_loss() -> None:
    labels = np.array([0] * 2 + [1] * 6)
    weights = training.class_weights(labels)
    assert weights == [2.0, pytest.approx(2 / 3)]  # 8 / (2 * 2) and 8 / (2 * 6)
    given = np.full((8, 2), 0.5, np.float32)
    balanced = training.BalancedCrossentropy(weights)(one_hot(labels), given)
    assert float(balanced) == pytest.approx(np.log(2))  # the mean weight is 1
    given[:2] = [0.1, 0.9]  # the rare class wrong: its share of the loss is 2 of 8 images, weighed twice
    wanted = (2 * 2 * -np.log(0.1) + 6 * 2 / 3 * np.log(2)) / 8
    assert float(training.BalancedCrossentropy(weights)(one_hot(labels), given)) == pytest.approx(wanted, rel=1e-5)


def test_a_cell_with_every_option_of_training_gives_an_ok_record() -> None:
    options = {"class_weights": True, "head_epochs": "1", "patience": "1", "batch_norm": "frozen", "split_by": "image"}
    record, _ = run("mobilenet", epochs="2", folds="3", fold="1", **options)
    assert {"head_loss", "loss", "val_loss"} <= record.history.keys()
    assert any("LEAKY" in notice for notice in record.dataset["notices"])
