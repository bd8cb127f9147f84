"""Measures one cell: builds, trains, tests and times its model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import keras
import numpy as np

from bcdl import datasets
from bcdl.backends import Backend
from bcdl.datasets import Dataset, Split
from bcdl.machine import hardware
from bcdl.records import quality
from bcdl.records.shapes import DatasetFacts, ModelFacts, Predictions, SourceFacts
from bcdl.settings.job import Job
from bcdl.worker import (
    batch_norm,
    device_peak,
    divergence,
    energy,
    fitting,
    flops,
    network,
    precision_probe,
    regimes,
    timing,
)
from bcdl.worker.inputs import load_data, weights_checksum
from bcdl.worker.measured import NOBODY, Measured, Watcher
from bcdl.worker.memory import record_host_peak, watching_memory
from bcdl.worker.prepared import Prepared, prepare
from bcdl.worker.shared import Shared
from bcdl.worker.snapshot import DiskSnapshot

# A regime that has begun: its work can be done until the block ends.
Begun = AbstractContextManager[timing.Work]


def measure(
    job: Job,
    adapter: Backend,
    measured: Measured,
    watcher: Watcher = NOBODY,
    shared: Shared | None = None,
) -> keras.Model:
    """Measure the job's cell on the backend that was started; the trained model.

    Args:
        job: what to measure.
        adapter: of the cell's backend.
        measured: takes every figure as soon as it is known, and the seconds of each phase.
        watcher: who follows it in this process.
        shared: what the job shares with the others of its process; None if it is alone.

    Raises DivergedError if the training diverged.
    """
    cell, phases = job.cell, measured.phases
    measured.environment.update(adapter.describe())
    phases.begin("probing precision")
    _probe_precision(adapter, cell.precision, measured)
    measured.environment["lacking"] = hardware.lacks(cell.device, cell.precision)
    phases.begin("loading data")
    dataset = load_data(job, shared.load if shared else datasets.load)
    measured.dataset = describe_dataset(dataset)
    measured.weights = _describe_weights(job)  # before the file is loaded: it may be replaced later
    prepared = _build(job, adapter, dataset, measured, shared)
    _train(prepared, measured, watcher)
    phases.begin("testing")
    given = _outputs(prepared)
    divergence.check_outputs(given)
    if watcher.trained:
        with phases.aside("keeping weights"):
            watcher.trained(prepared.model)
    _test(prepared, given, measured)
    if cell.timing:
        _measure_speed(prepared, measured)
    return prepared.model


def _probe_precision(adapter: Backend, precision: str, measured: Measured) -> None:
    """Record the arithmetic in use, and a note if it is more precise than was asked for."""
    arithmetic = precision_probe.arithmetic(adapter)
    measured.environment["arithmetic"] = arithmetic
    if note := precision_probe.judge(precision, arithmetic):
        measured.note(note)


def describe_dataset(dataset: Dataset) -> DatasetFacts:
    """What a record says of the data: never a path."""
    facts: DatasetFacts = {
        "name": dataset.name,
        "checksum": dataset.checksum,
        "images_checksum": dataset.images_checksum,
        "grouped": dataset.grouped,
        "ungrouped": {name: int((~part.known).sum()) for name, part in dataset.splits.items()},
        "rules": dataset.rules,
        "synthetic": dataset.synthetic,
        "images": {name: len(part) for name, part in dataset.splits.items()},
        "malignant": {name: int(part.labels.sum()) for name, part in dataset.splits.items()},
        "groups": {name: len(np.unique(part.groups)) for name, part in dataset.splits.items()},
        "benign_groups": {name: part.group_count("benign") for name, part in dataset.splits.items()},
        "malignant_groups": {name: part.group_count("malignant") for name, part in dataset.splits.items()},
        "notices": list(dataset.notices),
    }
    if dataset.facts:
        facts["source"] = cast(SourceFacts, dict(dataset.facts))
    return facts


def _build(job: Job, adapter: Backend, dataset: Dataset, measured: Measured, shared: Shared | None) -> Prepared:
    """Build the job's model, and describe it."""
    measured.phases.begin("building")
    with timing.timed(measured.metrics, "build_s"):
        prepared = (shared.prepare if shared else prepare)(job, adapter, dataset)
    _mark_warm(adapter, measured, "build_s")
    measured.phases.begin("describing the model")
    measured.model = _describe_model(prepared.model)
    measured.environment["jit_compile"] = bool(prepared.model.jit_compile)
    return prepared


def _train(prepared: Prepared, measured: Measured, watcher: Watcher) -> None:
    """Train the head, if the cell asks for it, then the whole model; the rate of `fit` and the history."""
    phases = measured.phases
    if prepared.cell.head_epochs:
        phases.begin("training the head")
        head = fitting.fit_head(prepared, watcher)
        measured.history |= {f"head_{name}": values for name, values in head.items()}
        divergence.check_history(head, " of the head")
    phases.begin("first step")
    measured.metrics["first_step_s"] = regimes.first_step(prepared, phases)
    measured.environment["compilation_cache"] = _mark_warm(prepared.adapter, measured, "first_step_s")
    measured.environment["threads"] = prepared.adapter.threads()
    measured.environment["input_pipeline"] = prepared.pipeline.describe()
    fit = _fit(prepared, measured, watcher)
    measured.history |= fit.history
    # The first epoch starts pools and pipelines; if there is no other it has to do.
    epochs = fit.seconds[1:] or fit.seconds
    measured.samples |= {"fit_s": epochs, "fit_warm_up_s": fit.seconds[: len(fit.seconds) - len(epochs)]}
    measured.metrics["fit_images_per_s"] = timing.rate(prepared.images_per_epoch, epochs)
    measured.metrics["kept_epoch"] = fit.epoch
    divergence.check_history(fit.history)
    divergence.check_weights(prepared.model)


def _fit(prepared: Prepared, measured: Measured, watcher: Watcher) -> fitting.Fit:
    """Train the whole model; if the cell is timed, first time its input pipeline, and watch the machine meanwhile."""
    phases = measured.phases
    if not prepared.cell.timing:
        return fitting.fit(prepared, phases, watcher)
    with phases.aside("timing the input pipeline"):
        measured.metrics["input_images_per_s"] = regimes.time_input(prepared)
    with measured.watching("fit"), energy.watched(prepared.cell.device) as gpu:
        fit = fitting.fit(prepared, phases, watcher)
        gpu.end()
    measured.note_gpu("fit", gpu.held_back())
    return fit


def _outputs(prepared: Prepared) -> dict[str, np.ndarray]:
    """The trained model's outputs [N, 2] on the validation and test images, by split; without a test, on the former."""
    splits = prepared.dataset.splits
    return {name: _outputs_on(prepared, splits[name].images) for name in ("val", "test")[: 1 + prepared.cell.test]}


def _outputs_on(prepared: Prepared, images: np.ndarray) -> np.ndarray:
    return fitting.outputs(prepared.model, prepared.adapter, images, prepared.cell.batch_size)


def _test(prepared: Prepared, given: dict[str, np.ndarray], measured: Measured) -> None:
    """What the trained model's outputs `given` are worth, and whether its batch norms have settled."""
    model, adapter, dataset, cell = prepared.model, prepared.adapter, prepared.dataset, prepared.cell
    measured.predictions = {name: _describe_predictions(given[name], dataset.splits[name]) for name in given}
    for name, outputs in given.items():
        measured.metrics |= quality.measure(name, outputs, dataset.splits[name].labels)
        measured.metrics[f"{name}_majority_accuracy"] = quality.majority_accuracy(dataset.splits[name].labels)
    measured.phases.begin("probing batch norms")
    probed = batch_norm.to_probe(dataset.train, cell)
    measured.metrics |= batch_norm.probe(model, adapter, _outputs_on(prepared, probed.images), probed, cell)


def _measure_speed(prepared: Prepared, measured: Measured) -> None:
    """Time the regimes other than `fit`, and measure what the device gives at most."""
    cell, adapter, metrics, phases = prepared.cell, prepared.adapter, measured.metrics, measured.phases
    phases.begin("keeping weights")
    trained = DiskSnapshot(prepared.model.variables)
    window_images = cell.window_steps * cell.batch_size
    phases.begin("timing steps")
    with watching_memory("step", prepared, measured):
        _time("step", window_images, prepared, measured, regimes.steps)
    with phases.aside("keeping weights"):
        trained.restore()
    phases.begin("timing predictions")
    with watching_memory("predict", prepared, measured):
        _time("predict", window_images, prepared, measured, regimes.predictions)
    record_host_peak(prepared, measured)
    phases.begin("timing single requests")
    rate = _time("request", 1, prepared, measured, regimes.requests)
    _mark_warm(adapter, measured, "request_warm_up_s")
    metrics["latency_ms"] = 1e3 / rate
    phases.begin("measuring the device")
    limits, notes = device_peak.measure(adapter, cell.precision)
    metrics |= limits
    for note in notes:
        measured.note(note)


def _time(
    regime: str, images: int, prepared: Prepared, measured: Measured, begun: Callable[[Prepared], Begun]
) -> float:
    """Time a regime of `images` images a window; its rate, images/s.

    Its samples and warm-up are recorded, and what else happened meanwhile; on a GPU, then, its energy.
    """
    with begun(prepared) as work, energy.watched(prepared.cell.device) as gpu:
        with measured.watching(regime):
            timed = work.windows(prepared.cell.windows, gpu.begin)
            gpu.end()
        rate = timing.rate(images, timed.kept)
        measured.samples |= {f"{regime}_s": timed.kept, f"{regime}_warm_up_s": timed.warm_up}
        measured.metrics |= {f"{regime}_images_per_s": rate, f"{regime}_warm_up_s": sum(timed.warm_up)}
        if prepared.cell.device == "gpu":
            _measure_energy(regime, images, work, gpu, measured)
    return rate


def _measure_energy(regime: str, images: int, work: timing.Work, gpu: energy.Watch, measured: Measured) -> None:
    """Repeat windows of `images` images, which have been timed, for the energy and the state of the GPU."""
    with measured.phases.aside("measuring energy"):
        repeated = gpu.repeat(work.window)
    measured.metrics |= repeated.metrics(regime, images)
    measured.note_gpu(regime, {**gpu.held_back(), **repeated.state()})


def _mark_warm(adapter: Backend, measured: Measured, name: str) -> str:
    """Mark the metric of that name, just taken, if the compilation cache had a part in it; the cache's state."""
    state: str = adapter.describe()["compilation_cache"]
    measured.mark_warm(state, name)
    return state


def _describe_model(model: keras.Model) -> ModelFacts:
    """Parameter counts, the padding that the image size decided, what the model costs, and a checksum of its start."""
    return {
        "parameters": model.count_params(),
        "trainable_parameters": sum(int(np.prod(variable.shape)) for variable in model.trainable_variables),
        "head_padding": network.head_padding(model),
        "cost": flops.describe(model),
        "initial_weights": network.weights_checksum(model),
    }


def _describe_weights(job: Job) -> dict[str, str | None]:
    kind = "file" if job.weights_file else job.cell.weights
    return {"kind": kind, "sha256": weights_checksum(job)}


def _describe_predictions(outputs: np.ndarray, split: Split) -> Predictions:
    """Of outputs [N, 2] float32 on the split's N images."""
    return {
        "outputs": outputs.astype(float).tolist(),
        "scores": quality.malignant_scores(outputs).tolist(),
        "labels": split.labels.tolist(),
        "groups": split.groups.tolist(),
        "names": split.names.tolist(),
    }
