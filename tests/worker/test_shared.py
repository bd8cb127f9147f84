"""Cells that share a process build and compile one model, and give the bits that each gives alone."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest

from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.settings.job import Job
from bcdl.worker import measurement
from bcdl.worker.phases import Phases
from tests.factory import jobs

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
cell = pytest.importorskip("bcdl.worker.cell")
prepared = pytest.importorskip("bcdl.worker.prepared")
shared = pytest.importorskip("bcdl.worker.shared")

BACKEND = os.environ.get("KERAS_BACKEND", "")
SMALL = {"image_size": "32", "epochs": "1", "timing": False}


def run(job: Job, together: Any = None) -> Record:
    measure = functools.partial(cell.measure, shared=together)
    process = measurement.Process(measure, keep=together is None)  # as for all cells of a process but its first
    return measurement.run(job, "a-run", Phases(), process)[0]


def answers(record: Record) -> dict[str, Any]:
    """All that a record says of its cell's training and tests."""
    assert (record.status, record.reason) == ("ok", "")
    names = ("cell", "history", "predictions", "metrics", "model", "weights", "dataset")
    return {name: getattr(record, name) for name in names}


@pytest.mark.parametrize(
    "options",
    [
        {"seed": "0,1", "folds": "2"},
        {"seed": "0,1", "split_by": "group,image", "class_weights": True, "keep": "last", "epochs": "2"},
        {"seed": "0,1", "optimizer": "sgd", "batch_norm": "faster", "augment": False},
    ],
)
def test_seeds_folds_and_splits_give_the_bits_that_each_gives_alone(options: dict[str, Any]) -> None:
    together = shared.Shared()
    for job in jobs(BACKEND, "cnn", **{**SMALL, **options}):
        assert answers(run(job, together)) == answers(run(job))


def test_loaded_weights_a_frozen_backbone_and_a_head_trained_alone_start_as_new(tmp_path: Path) -> None:
    file = tmp_path / "mobilenet.weights.h5"
    keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3)).save_weights(file)
    options = {"weights": str(file), "head_epochs": "1", "batch_norm": "frozen", "seed": "0,1", **SMALL}
    first, second = jobs(BACKEND, "mobilenet", **options)
    together = shared.Shared()
    assert run(first, together).ok
    assert answers(run(second, together)) == answers(run(second))


def test_a_model_is_built_and_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built, traced = [], []
    build = prepared.build

    def counted(*arguments: Any) -> Any:
        model = build(*arguments)
        step = model.train_step
        object.__setattr__(model, "train_step", lambda *given: traced.append(None) or step(*given))
        built.append(model)
        return model

    monkeypatch.setattr(prepared, "build", counted)
    together, counts = shared.Shared(), []
    for job in jobs(BACKEND, "cnn", **SMALL, seed="0,1,2"):
        run(job, together)
        counts.append(len(traced))
    assert len(built) == 1
    # Python runs the code of a step once a trace where the framework compiles, and once a step where it does not.
    assert counts in ([counts[0]] * 3, [counts[0], 2 * counts[0], 3 * counts[0]])


def test_another_model_is_built_anew() -> None:
    together = shared.Shared()
    for size in ("32", "33"):
        (job,) = jobs(BACKEND, "cnn", **{**SMALL, "image_size": size})
        assert answers(run(job, together)) == answers(run(job))


def test_cells_of_one_process_give_the_records_of_separate_ones(tmp_path: Path) -> None:
    both = jobs(BACKEND, "cnn", **SMALL, seed="0,1")
    phases: list[str] = []
    with launch.started(both, "a-run", tmp_path / "together.log") as worker:
        together = [worker.record_of_next(phases.append) for _ in both]
        assert not worker.goes_on
    alone = [launch.run(job, "a-run", tmp_path / "alone.log", phases.append) for job in both]
    assert [answers(record) for record in together] == [answers(record) for record in alone]
    assert [record.environment["process"]["cells_before"] for record in (*together, *alone)] == [0, 1, 0, 0]
    assert phases.count("building") == 4
    assert all(record.phases["ending"] >= 0 for record in together)
