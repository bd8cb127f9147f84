"""One cell in, one record out: what a cell that fails midway keeps, and what a stand-in measures in its place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bcdl.backends import Backend
from bcdl.machine import provenance
from bcdl.machine.clock import now_s
from bcdl.records.record import Record
from bcdl.settings.job import Job
from bcdl.worker import measurement, session
from bcdl.worker.measured import Measured
from bcdl.worker.phases import Phases
from tests.factory import jobs, record

BACKEND = os.environ.get("KERAS_BACKEND", "")


def test_what_is_measured_has_the_parts_of_a_record() -> None:
    assert Measured().parts().keys() <= vars(record()).keys()
    assert {name for name, part in Measured().parts().items() if part} == {"phases"}


def test_without_speed_nothing_that_depends_on_the_machines_load_is_left() -> None:
    measured = Measured(samples={"fit_s": [1.0]})
    measured.metrics = {"fit_images_per_s": 1.0, "peak_memory_mib": 2.0, "build_s": 3.0, "test_accuracy": 0.5}
    measured.drop_speed()
    assert (measured.metrics, measured.samples) == ({"test_accuracy": 0.5}, {})


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("off", "first_step_s"),
        ("cold", "first_step_s"),
        ("warm", "warm_first_step_s"),
        ("partly warm", "partly_warm_first_step_s"),
    ],
)
def test_what_a_warm_cache_makes_shorter_has_a_name_of_its_own(state: str, name: str) -> None:
    measured = Measured(metrics={"first_step_s": 1.0, "step_images_per_s": 3.0})
    measured.mark_warm(state, "first_step_s")
    assert measured.metrics == {name: 1.0, "step_images_per_s": 3.0}


@pytest.mark.keras
@pytest.mark.usefixtures("short_regimes")
@pytest.mark.parametrize(
    ("broken", "kept", "missing"),
    [
        ("prepare", ("dataset", "environment", "weights"), ("model", "history", "predictions")),
        ("regimes.first_step", ("dataset", "model", "weights"), ("history", "predictions", "samples")),
        ("quality.majority_accuracy", ("model", "history", "predictions", "samples"), ()),
        ("device_peak.measure", ("model", "history", "predictions", "samples"), ()),
    ],
)
def test_a_cell_that_fails_midway_keeps_what_it_had(
    monkeypatch: pytest.MonkeyPatch, broken: str, kept: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    pytest.importorskip("keras")

    def fails(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("an injected fault")

    (job,) = jobs(BACKEND, "cnn", image_size="32", epochs="1")
    phases: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(f"bcdl.worker.cell.{broken}", fails)
        outcome, model = measurement.run(job, "a-run", Phases(phases.append))
    assert (outcome.status, outcome.reason) == ("failed", "RuntimeError: an injected fault")
    assert model is None
    assert "import_s" in outcome.metrics
    assert [part for part in kept if not getattr(outcome, part)] == []
    assert [part for part in missing if getattr(outcome, part)] == []
    assert Record.from_json(outcome.to_json()) == outcome
    assert phases[:2] == ["describing the machine", "importing"]


@pytest.mark.keras
def test_a_stand_in_is_served_like_the_whole_measurement(tmp_path: Path) -> None:
    pytest.importorskip("keras")

    def measure(job: Job, adapter: Backend, measured: Measured) -> None:
        measured.phases.begin("standing in")
        measured.metrics["step_images_per_s"] = 7.0
        measured.dataset = dict(record().dataset)  # type: ignore[assignment]

    (job,) = jobs(BACKEND, "cnn")
    files = [tmp_path / name for name in ("job.json", "result.json", "events.txt")]
    files[0].write_text(json.dumps({"job": job.to_dict(), "run": "a-run", "launched_s": now_s()}), encoding="utf-8")
    assert measurement.serve(*map(str, files), process=measurement.Process(measure)) == 0
    outcome = Record.from_json(files[1].read_text(encoding="utf-8"))
    assert (outcome.status, outcome.cell, outcome.value("step_images_per_s")) == ("ok", job.cell, 7.0)
    assert files[2].read_text(encoding="utf-8").splitlines() == ["describing the machine", "importing", "standing in"]


@pytest.mark.keras
def test_several_jobs_are_served_up_to_the_first_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keras")
    started: list[str] = []

    really_start = session.start_backend

    def start(*arguments: str) -> Backend:
        started.append(arguments[0])
        return really_start(*arguments)

    def measure(job: Job, adapter: Backend, measured: Measured) -> None:
        measured.dataset = dict(record().dataset)  # type: ignore[assignment]
        if job.cell.seed == 1:
            raise RuntimeError("an injected fault")

    monkeypatch.setattr(session, "start_backend", start)
    files = []
    for job in jobs(BACKEND, "cnn", seed="0,1,2", timing=False):
        files += [tmp_path / f"{name}-{job.cell.seed}" for name in ("job", "result", "events")]
        asked = {"job": job.to_dict(), "run": "a-run", "launched_s": now_s() - 100}
        files[-3].write_text(json.dumps(asked), encoding="utf-8")
    assert measurement.serve(*map(str, files), process=measurement.Process(measure)) == 0
    outcomes = [Record.from_json(file.read_text(encoding="utf-8")) for file in files[1::3] if file.is_file()]
    assert [(outcome.cell.seed, outcome.status) for outcome in outcomes] == [(0, "ok"), (1, "failed")]
    assert [outcome.environment["process"]["cells_before"] for outcome in outcomes] == [0, 1]
    assert started == [BACKEND]
    # The process was launched 100 s ago, they were told. The second does not start with it: its phases lack that time.
    assert outcomes[0].phases["starting"] >= 100 > outcomes[1].phases["starting"]


@pytest.mark.keras
@pytest.mark.any_backend
def test_who_edits_the_code_meanwhile_does_not_change_what_is_said_of_it(tmp_path: Path) -> None:
    """Before, the record could name code that did not run, and nobody saw that it had changed."""
    pytest.importorskip("keras")
    for name in ("bcdl", "backends"):
        shutil.copytree(provenance.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (job,) = jobs(BACKEND, "cnn", image_size="32", epochs="2", timing=False)
    files = [tmp_path / name for name in ("job.json", "result.json", "events.txt")]
    files[0].write_text(json.dumps({"job": job.to_dict(), "run": "a-run", "launched_s": now_s()}), encoding="utf-8")
    command = [sys.executable, "-m", "bcdl.worker", *map(str, files)]
    # The worker ends with whoever holds the other end of its stdin.
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, stdin=subprocess.PIPE
    ) as worker:
        while worker.poll() is None and "first step" not in (files[2].read_text() if files[2].is_file() else ""):
            time.sleep(0.05)
        with (tmp_path / "bcdl" / "worker" / "regimes.py").open("a", encoding="utf-8") as module:
            module.write("# edited\n")
        assert worker.wait(300) == 0
    outcome = Record.from_json(files[1].read_text(encoding="utf-8"))
    assert outcome.ok, outcome.reason
    assert outcome.environment["code"] == provenance.digest(BACKEND)
    assert outcome.environment["code_changed"] is True
