"""The worker: one cell in, one record out; the only process of a run that imports Keras.

`python -m bcdl.worker JOB RESULT EVENTS` reads the job from a JSON file, writes the record to the file
RESULT and a line to the file EVENTS as each phase begins. It never speaks through stdout, which
frameworks write to.
"""

from __future__ import annotations

import importlib
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bcdl import backends, datasets
from bcdl.datasets import Dataset
from bcdl.errors import BcdlError
from bcdl.evaluation import quality
from bcdl.machine import hardware, provenance
from bcdl.records import record, store
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from bcdl.text import scrub
from bcdl.worker import energy, parent_death, timing
from bcdl.worker.session import start_backend

Report = Callable[[str], None]


# Takes the job, its adapter, `bcdl.regimes`, the findings to add to, `Report` and Keras's verbosity; gives the model.
MeasureCell = Callable[[Job, backends.Backend, ModuleType, dict[str, Any], Report, int], Any]


def main(job_file: str, result_file: str, events_file: str) -> int:
    return serve(job_file, result_file, events_file, lambda *asked: run(*asked)[0])


def serve(job_file: str, result_file: str, events_file: str, measure_cell: Callable[[Job, str, Report], Record]) -> int:
    """Read the job, have it measured, and leave its record, whole or not at all."""
    parent_death.end_with_driver()
    values = json.loads(Path(job_file).read_text(encoding="utf-8"))

    def report(phase: str) -> None:
        with Path(events_file).open("a", encoding="utf-8") as events:
            events.write(phase + "\n")

    outcome = measure_cell(Job.from_dict(values["job"]), values["run"], report)
    store.replace(Path(result_file), outcome.to_json().encode())
    return 0


def run(
    job: Job, run_id: str, report: Report, verbose: int = 0, measure_cell: MeasureCell | None = None
) -> tuple[Record, Any]:
    """Run the job's cell in this process; its record, and the trained model or None where it failed.

    `measure_cell` is what is done once the backend is there; where not given, all that a cell is measured for.
    """
    started = store.now()
    findings: dict[str, Any] = {"metrics": {}, "samples": {}, "environment": {}}
    adapter, model, status, reason = None, None, record.OK, ""
    try:
        report("importing")
        with timing.timed(findings["metrics"], "import_s"):
            adapter = start_backend(job.cell.backend, job.cell.device, job.cell.precision)
            regimes = importlib.import_module("bcdl.worker.regimes")
        model = (measure_cell or _measure)(job, adapter, regimes, findings, report, verbose)
    except Exception as error:
        traceback.print_exc()  # into the log, which is kept
        status, reason = _explain(error, adapter)
    findings["environment"].update(hardware.describe(job.cell.device), **provenance.commit())
    findings["environment"]["code"] = provenance.digest(job.cell.backend)
    if not job.cell.timing:
        findings.update(_without_speed(findings))
    return Record(run_id, status, scrub(reason), job.cell, started, store.now(), **findings), model


def _explain(error: Exception, adapter: backends.Backend | None) -> tuple[str, str]:
    """The status and the reason that a record gives for `error`."""
    if isinstance(error, backends.UnsupportedError):
        return record.SKIPPED, str(error)
    if isinstance(error, (BcdlError, backends.DeviceError)):
        return record.FAILED, str(error)
    summary = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
    if isinstance(error, MemoryError) or (adapter and adapter.is_out_of_memory(error)):
        return record.OUT_OF_MEMORY, f"memory ran out ({summary}); use a smaller --batch-size or --image-size"
    return record.FAILED, summary


def _measure(
    job: Job, adapter: backends.Backend, regimes: ModuleType, findings: dict[str, Any], report: Report, verbose: int
) -> Any:
    """Build, train, test and time the cell; what is found goes into `findings` as soon as it is known."""
    cell, metrics = job.cell, findings["metrics"]
    findings["environment"].update(adapter.describe())
    report("probing precision")
    from bcdl.worker import precision_probe

    findings["environment"]["arithmetic"] = precision_probe.check(cell.precision)
    findings["environment"]["lacking"] = hardware.lacks(cell.device, cell.precision)
    report("loading data")
    dataset = datasets.load(job.request)
    findings["dataset"] = describe_dataset(dataset)
    class_weights = regimes.training.class_weights(dataset.train.labels) if cell.class_weights else None

    report("building")
    with timing.timed(metrics, "build_s"):
        model = regimes.build(cell, job.weights_file, class_weights)
    findings["model"] = {**regimes.describe_model(model), "initial_weights": regimes.weights_checksum(model)}
    findings["weights"] = _describe_weights(job)
    findings["environment"]["jit_compile"] = bool(model.jit_compile)
    feed = regimes.TrainFeed(dataset.train, cell.batch_size, cell.seed, cell.augment)

    if cell.head_epochs:
        report("training the head")
        head = regimes.training.fit_head(model, adapter, feed, cell, class_weights, verbose)
        findings["history"] = {f"head_{name}": values for name, values in head.items()}
    report("first step")
    metrics["first_step_s"] = regimes.first_step(model, adapter, feed)
    fit = regimes.training.fit(model, adapter, feed, dataset, cell, report, verbose)
    findings["history"] = {**findings.get("history", {}), **fit.history}
    # The first epoch starts pools and pipelines; where there is no other it has to do.
    epochs = fit.seconds[1:] or fit.seconds
    findings["samples"] |= {"fit_s": epochs, "fit_warm_up_s": fit.seconds[: len(fit.seconds) - len(epochs)]}
    metrics["fit_images_per_s"] = timing.rate(feed.steps_per_epoch * cell.batch_size, epochs)
    metrics["kept_epoch"] = fit.epoch

    report("testing")
    _test(regimes, model, adapter, dataset, cell, findings)
    if cell.timing:
        _measure_speed(regimes, model, adapter, feed, cell, findings, report)
    return model


def _test(
    regimes: ModuleType, model: Any, adapter: backends.Backend, dataset: Dataset, cell: Cell, findings: dict[str, Any]
) -> None:
    """Put down the trained model's outputs on the validation and test images, and what they are worth."""

    def outputs(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = regimes.training.outputs(model, adapter, images, cell.batch_size)
        return found

    metrics, test = findings["metrics"], dataset.test
    found = {"val": outputs(dataset.val.images), "test": outputs(test.images)}
    findings["predictions"] = {name: _describe_predictions(found[name], dataset.splits[name]) for name in found}
    metrics.update(quality.measure("test", found["test"], test.labels))
    metrics["test_majority_accuracy"] = quality.majority_accuracy(test.labels)
    images, labels = regimes.batch_norm.probed(dataset.train, cell)
    metrics.update(regimes.batch_norm.probe(model, adapter, outputs(images), images, labels, cell))


def _measure_speed(
    regimes: ModuleType,
    model: Any,
    adapter: backends.Backend,
    feed: Any,
    cell: Cell,
    findings: dict[str, Any],
    report: Report,
) -> None:
    """Time the regimes other than `fit`, and measure what the device gives at most."""
    metrics = findings["metrics"]
    trained = regimes.state.everything(model)
    window_images = cell.window_steps * cell.batch_size
    report("timing steps")
    _time(findings, cell, "step", window_images, lambda: regimes.time_steps(model, adapter, feed, cell))
    trained.restore()
    report("timing predictions")
    _time(findings, cell, "predict", window_images, lambda: regimes.time_predictions(model, adapter, feed, cell))
    metrics["peak_memory_mib"] = (adapter.peak_memory_bytes() or hardware.peak_rss_bytes()) / hardware.MIB
    report("timing single requests")
    _time(findings, cell, "request", 1, lambda: regimes.time_requests(model, adapter, feed, cell))
    metrics["latency_ms"] = 1e3 / metrics["request_images_per_s"]
    report("measuring the device")
    from bcdl.worker import device_peak

    metrics.update(device_peak.measure(adapter, cell.precision))


def _without_speed(findings: dict[str, Any]) -> dict[str, Any]:
    """Metrics and samples of a cell that is about accuracy alone: it may have run beside others."""
    metrics = {name: value for name, value in findings["metrics"].items() if not name.endswith(("_s", "_mib"))}
    return {"metrics": metrics, "samples": {}}


def _time(findings: dict[str, Any], cell: Cell, regime: str, images: int, measure: Callable[[], timing.Timed]) -> None:
    """Time a regime, `images` images a window, and put down its samples, its rate and what the GPU drew."""
    with energy.watched(cell.device) as watch:
        timed = measure()
    findings["samples"] |= {f"{regime}_s": timed.kept, f"{regime}_warm_up_s": timed.warm_up}
    metrics = findings["metrics"]
    metrics[f"{regime}_images_per_s"] = timing.rate(images, timed.kept)
    metrics[f"{regime}_warm_up_s"] = sum(timed.warm_up)
    if watch:
        metrics.update(watch.metrics(regime, images * timed.count))
        findings["environment"].setdefault("gpu_state", {})[regime] = watch.state()


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """What a record says of the data: never a path."""
    return {
        "name": dataset.name,
        "checksum": dataset.checksum,
        "images_checksum": dataset.images_checksum,
        "grouped": dataset.grouped,
        "synthetic": dataset.synthetic,
        "images": {name: len(part) for name, part in dataset.splits.items()},
        "malignant": {name: int(part.labels.sum()) for name, part in dataset.splits.items()},
        "groups": {name: len(np.unique(part.groups)) for name, part in dataset.splits.items()},
        "notices": list(dataset.notices),
    }


def _describe_weights(job: Job) -> dict[str, Any]:
    kind = "file" if job.weights_file else job.cell.weights
    return {"kind": kind, "sha256": provenance.sha256(job.weights_file) if job.weights_file else None}


def _describe_predictions(outputs: np.ndarray, split: datasets.Split) -> dict[str, list[Any]]:
    return {
        "outputs": outputs.astype(float).tolist(),
        "scores": quality.malignant_scores(outputs).tolist(),
        "labels": split.labels.tolist(),
        "groups": split.groups.tolist(),
        "names": split.names.tolist(),
    }
