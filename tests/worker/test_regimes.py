"""The whole of a cell on the real framework: trains, tests and times, compiles once, and puts back what it borrows."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl import backends, datasets
from bcdl.records.checks import check_shape
from bcdl.records.record import Record
from bcdl.records.shapes import Disturbance
from bcdl.settings.job import Job
from bcdl.statistics import disturbance
from bcdl.worker import measurement, session, timing
from bcdl.worker.input_pipeline import one_hot
from bcdl.worker.phases import Phases
from tests.factory import jobs
from tests.machine import fake_nvml

pytestmark = [pytest.mark.keras, pytest.mark.usefixtures("short_regimes")]
keras = pytest.importorskip("keras")
regimes = pytest.importorskip("bcdl.worker.regimes")
fitting = pytest.importorskip("bcdl.worker.fitting")
network = pytest.importorskip("bcdl.worker.network")
batch_norm = pytest.importorskip("bcdl.worker.batch_norm")
prepared_cell = pytest.importorskip("bcdl.worker.prepared")

BACKEND = os.environ.get("KERAS_BACKEND", "")


@pytest.fixture(scope="module")
def adapter() -> backends.Backend:
    return session.start_backend(BACKEND, "cpu", "float32")


def one_job(model: str = "cnn", **options: Any) -> Job:
    (job,) = jobs(BACKEND, model, **options)
    return job


def outputs(prepared: Any, images: np.ndarray) -> np.ndarray:
    return fitting.outputs(prepared.model, prepared.adapter, images, prepared.cell.batch_size)


def probed(prepared: Any) -> dict[str, float]:
    """What the batch norms' probe says of the model on training images."""
    cell = prepared.cell
    split = batch_norm.to_probe(prepared.dataset.train, cell)
    return batch_norm.probe(prepared.model, prepared.adapter, outputs(prepared, split.images), split, cell)


@pytest.mark.parametrize("model", ["cnn", "mobilenet"])
def test_a_cell_gives_an_ok_record(model: str) -> None:
    (job,) = jobs(BACKEND, model, cold=True)
    record, trained = measurement.run(job, "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    assert all(value is not None and math.isfinite(value) for value in record.metrics.values())
    assert {len(values) for values in record.history.values()} == {job.cell.epochs}
    assert (len(record.samples["fit_s"]), len(record.samples["fit_warm_up_s"])) == (job.cell.epochs - 1, 1)
    for regime in ("step", "predict", "request"):
        kept = record.samples[f"{regime}_s"]
        assert len(kept) >= job.cell.windows
        assert sum(kept) >= timing.LEAST_S or len(kept) == timing.MOST_WINDOWS
        assert record.metrics[f"{regime}_warm_up_s"] == pytest.approx(sum(record.samples[f"{regime}_warm_up_s"]))
    assert record.metrics["latency_ms"] == pytest.approx(1e3 * np.median(record.samples["request_s"]))
    assert all(len(record.predictions[name]["scores"]) == record.dataset["images"][name] for name in ("val", "test"))
    assert record.metrics["input_images_per_s"] > 0
    assert set(record.environment["disturbance"]) == {"fit", "step", "predict", "request"}
    for seen in record.environment["disturbance"].values():
        check_shape(Disturbance, seen)
        assert seen["wall_s"] > 0
    assert abs(record.environment["clock"]["jumped_s"]) < 1
    assert record.phases["timing the input pipeline"] > 0
    assert record.environment["versions"]["keras"] == keras.__version__
    assert record.environment["precision_flags"]
    dataset = datasets.load(job.request)
    assert record.dataset["checksum"] == dataset.checksum
    # What the record says of the test split is what Keras itself says of the trained model.
    loss, accuracy = trained.evaluate(dataset.test.images, one_hot(dataset.test.labels), verbose=0)
    assert record.metrics["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert record.metrics["test_accuracy"] == pytest.approx(accuracy)


def test_every_regime_shares_the_functions_that_fit_and_validation_compiled(adapter: backends.Backend) -> None:
    prepared = prepared_cell.prepare(one_job(), adapter)
    cell, pipeline = prepared.cell, prepared.pipeline
    steps = _count_calls(prepared.model, "train_step")
    forwards = _count_calls(prepared.model, "call")
    regimes.first_step(prepared)
    assert len(steps) == 1
    outputs(prepared, prepared.dataset.val.images)
    probed(prepared)
    first_steps, first_forwards = len(steps), len(forwards)
    fit = fitting.fit(prepared, Phases())
    outputs(prepared, prepared.dataset.test.images)
    probed(prepared)
    timed = regimes.time_steps(prepared)
    with regimes.predictions(prepared) as work:
        work.windows(prepared.cell.windows)
    assert len(fit.seconds) == cell.epochs
    # Python runs the code once a trace where the framework compiles, and once a step where it does not.
    run = cell.epochs * pipeline.steps_per_epoch + timed.count * cell.window_steps
    assert len(steps) - first_steps in (0, run)
    compiled = len(steps) == first_steps
    assert not compiled or len(forwards) == first_forwards


@pytest.mark.any_backend
def test_a_cell_on_a_gpu_says_what_it_drew_and_how_the_gpu_was(
    adapter: backends.Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A GPU by NVML alone, while the framework computes on the CPU: the whole path of a record."""
    throttled = {"held_back_percent": 20, "reasons": fake_nvml.POWER_CAP, "throttled_percent": 50}
    gpu = fake_nvml.FakeGpu(watts=300, pids=[7], **throttled)
    fake_nvml.loaded(monkeypatch, tmp_path, fake_nvml.T4, gpu)
    monkeypatch.setattr(session, "start", lambda cell: adapter)
    (job,) = jobs(BACKEND, "cnn", device="gpu", cold=True)
    made, _ = measurement.run(job, "a-run", Phases())
    assert (made.status, made.reason) == ("ok", "")
    made = Record.from_json(made.to_json())
    environment, metrics = made.environment, made.metrics
    assert (environment["gpus"], environment["gpu"]["power_limit_w"]) == ([fake_nvml.H100], 700.0)
    assert environment["gpu_processes"] == 1
    assert metrics["idle_power_w"] == pytest.approx(300, rel=0.1)
    for regime in ("step", "predict", "request"):
        images = 1 if regime == "request" else job.cell.batch_size * job.cell.window_steps
        state = environment["gpu_state"][regime]
        assert state["held_back_share"]["temperature"] == pytest.approx(0.2, abs=0.1)
        assert state["throttled_share"]["software power cap"] > 0
        assert metrics[f"{regime}_power_w"] == pytest.approx(300, rel=0.1)
        # Of an image it is the power times the time of an image, whatever the first request compiles.
        joules = metrics[f"{regime}_power_w"] * state["watched_s"] / state["repeats"] / images
        assert metrics[f"{regime}_energy_j_per_image"] == pytest.approx(joules)
    assert environment["gpu_state"]["fit"].keys() == {"held_back_share"}
    assert made.phases["measuring energy"] >= 6
    assert {disturbed.what for disturbed in disturbance.of(made, "step")} >= {
        "the GPU was held back",
        "other processes computed on the GPU as its worker began",
    }


def _count_calls(model: Any, name: str) -> list[None]:
    calls: list[None] = []
    original = getattr(model, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        return original(*arguments, **named)

    object.__setattr__(model, name, counted)
    return calls


def test_trial_steps_leave_no_trace(adapter: backends.Backend) -> None:
    prepared = prepared_cell.prepare(one_job(image_size="32", augment=True), adapter)
    model = prepared.model
    before = network.weights_checksum(model)
    regimes.first_step(prepared)
    probed(prepared)
    assert network.weights_checksum(model) == before
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 0
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(
        prepared.cell.learning_rate
    )
    regimes.time_steps(prepared)
    assert network.weights_checksum(model) != before


def test_padding_does_not_reach_the_outputs(adapter: backends.Backend) -> None:
    job = one_job(image_size="32")
    model = prepared_cell.build(job)
    images = datasets.load(job.request).test.images
    whole = fitting.outputs(model, adapter, images[:7], batch_size=7)
    padded = fitting.outputs(model, adapter, images[:7], batch_size=4)
    assert padded.shape == (7, 2)
    np.testing.assert_allclose(padded, whole, atol=1e-6)


def test_the_probe_sees_stale_batch_norms(adapter: backends.Backend) -> None:
    """Moving averages set far off ruin inference mode and leave training mode alone."""
    prepared = prepared_cell.prepare(one_job(augment=False, image_size="32"), adapter)
    fitting.fit(prepared, Phases())
    probe = probed(prepared)
    for layer in network.every_layer(prepared.model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 30.0)
    spoilt = probed(prepared)
    assert spoilt["train_mode_loss"] == pytest.approx(probe["train_mode_loss"], abs=0.3)
    assert spoilt["inference_mode_loss"] != pytest.approx(probe["inference_mode_loss"], abs=1e-3)


@pytest.mark.parametrize("data", ["busi", "breastmnist.npz", "breakhis-sample"])
def test_real_images_train(data: str, real_data: Path) -> None:
    (job,) = jobs(BACKEND, "cnn", data=str(real_data / data), image_size="32", epochs="1", batch_size="8")
    record, _ = measurement.run(job, "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    assert not record.dataset["synthetic"]
    assert str(real_data) not in record.to_json()


def test_real_weights_are_in_the_record(real_weights: Path) -> None:
    (job,) = jobs(BACKEND, "mobilenet", weights=str(real_weights), image_size="32", epochs="1")
    record, _ = measurement.run(job, "a-run", Phases())
    assert (record.status, record.reason) == ("ok", "")
    assert record.cell.weights == real_weights.name
    assert record.weights["kind"] == "file"
    assert len(record.weights["sha256"]) == 64


def test_mixed_bfloat16_runs_and_is_recorded() -> None:
    (job,) = jobs(BACKEND, "cnn", precision="mixed_bfloat16", epochs="1", image_size="32")
    try:
        record, model = measurement.run(job, "a-run", Phases())
        assert (record.status, record.reason) == ("ok", "")
        assert model.get_layer("head_conv16").compute_dtype == "bfloat16"
    finally:
        session.set_keras_defaults("float32")


@pytest.mark.parametrize(("model", "precision"), [("mobilenet", "float32"), ("cnn", "mixed_bfloat16")])
def test_a_cell_of_the_other_layout_trains_the_same_model(model: str, precision: str) -> None:
    cells: dict[str, Any] = {"channels_last": None, "channels_first": None}
    small = {"image_size": "32", "epochs": "1"}
    try:
        for data_format in cells:
            (job,) = jobs(BACKEND, model, **small, data_format=data_format, precision=precision)
            cells[data_format], _ = measurement.run(job, "a-run", Phases())
    finally:
        session.set_keras_defaults("float32")
    last, first = cells.values()
    assert (last.status, last.reason) == ("ok", "")
    if first.status == "skipped":
        assert "take channels_last only" in first.reason
        return
    assert (first.status, first.reason) == ("ok", "")
    assert first.cell.data_format == "channels_first"
    for fact in ("initial_weights", "parameters", "head_padding"):
        assert first.model[fact] == last.model[fact]
    assert first.environment["autotune"] == "off"


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"precision": "tf32"}, "skipped", "TF32 is arithmetic of NVIDIA GPUs"),
        ({"input_transfer": "prefetched"}, "skipped", "leave --input-transfer out"),
        ({"autotune": "on"}, "skipped", "leave --autotune out"),
        ({"batch_size": "500"}, "failed", "--batch-size 500 is more than the"),
    ],
)
def test_what_cannot_run_says_why(changes: dict[str, str], status: str, reason: str) -> None:
    (job,) = jobs(BACKEND, "cnn", **changes)
    record, model = measurement.run(job, "a-run", Phases())
    assert record.status == status
    assert reason in record.reason
    assert model is None


def test_imagenet_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*arguments: Any, **named: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_network)
    (job,) = jobs(BACKEND, "mobilenet", weights="imagenet")
    record, _ = measurement.run(job, "a-run", Phases())
    assert record.status == "failed"
    assert "the ImageNet weights of mobilenet could not be loaded" in record.reason
    assert "use --weights none, or --weights mobilenet=FILE" in record.reason


def test_running_out_of_memory_is_distinguished(adapter: backends.Backend) -> None:
    assert not adapter.is_out_of_memory(ValueError("a plain mistake"))
    assert adapter.peak_memory_bytes() is None  # a CPU's memory is the process's
