"""What becomes of the model that `bcdl train` saves, and of the record, whatever goes wrong after the training."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcdl import train
from bcdl.errors import UsageError, run_command
from bcdl.records import model_file, store
from bcdl.records.record import Record
from bcdl.report import run_end
from bcdl.runner import model_keeper


@pytest.mark.keras
def test_variables_that_would_have_keras_train_less_have_no_effect(tmp_path: Path) -> None:
    """With them a cell of 3 epochs ran one, and its rate of `fit` was that of steps that never ran."""
    pytest.importorskip("keras")
    variables = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1", "OMP_NUM_THREADS": "1"}
    options = ("--model", "cnn", "--profile", "smoke", "--data", "synthetic-48", "--image-size", "32", "--epochs", "3")
    command = [sys.executable, "-m", "bcdl.train", *options, "--device", "cpu", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr
    assert "note: KERAS_MAX_EPOCHS is set, and has no effect: what runs is what was asked for" in done.stdout
    ((_, record),), _ = store.read_all(tmp_path)
    assert len(record.history["loss"]) == 3
    assert len(record.samples["fit_s"]) == 2
    assert record.environment["variables"]["OMP_NUM_THREADS"] == "1"
    assert not {"KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"} & record.environment["variables"].keys()
    assert record.environment["threads"]


class Train:
    """`bcdl train` in this process, of a small CNN that is saved: exit code, stdout, stderr."""

    def __init__(self, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str], folder: Path) -> None:
        self._patch, self._captured = patch, captured
        self.results, self.file = folder / "results", folder / "model.keras"

    def __call__(self, *options: str) -> tuple[int, str, str]:
        small = (
            "--model",
            "cnn",
            "--profile",
            "smoke",
            "--data",
            "synthetic-48",
            "--image-size",
            "32",
            "--epochs",
            "1",
        )
        places = ("--device", "cpu", "--results", str(self.results), "--save", str(self.file))
        self._patch.setattr(sys, "argv", ["bcdl train", *small, *places, *options])
        self._captured.readouterr()
        with pytest.raises(SystemExit) as left:
            run_command(train.main)
        said = self._captured.readouterr()
        return int(str(left.value.code)), said.out, said.err

    def records(self) -> list[Record]:
        read, problems = store.read_all(self.results)
        assert not problems
        return [record for _, record in read]

    def saved(self) -> bool:
        """Whether the model is whole, and says what it is; False if there is none."""
        if not self.file.exists():
            return False
        statement = model_file.read(self.file)
        return statement is not None and (statement.model, statement.image_size) == ("cnn", 32)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Train:
    pytest.importorskip("keras")
    pytest.importorskip("bcdl.worker.cell")
    return Train(monkeypatch, capsys, tmp_path)


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: Any, **named: Any) -> Any:
        raise error

    return fail


REFUSED = OSError(errno.ENOSPC, "No space left on device", "README.md")


@pytest.mark.keras
@pytest.mark.parametrize("error", [UsageError("it is in the way"), REFUSED, TypeError("a fault of ours\nand more")])
def test_a_report_that_fails_costs_neither_model_nor_record(
    run: Train, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(run_end, "show_and_rebuild", failing(error))
    code, out, err = run("--no-timing")
    assert (code, len(err.splitlines())) == (1, 1), err
    assert err.startswith("error: the report could not be made (")
    assert f"the model in {run.file}; bcdl report --results {run.results} makes it anew" in err
    (record,) = run.records()
    assert record.ok
    assert f"{record.run}.jsonl" in err
    assert run.saved()
    assert f"model: {run.file}" in out


@pytest.mark.keras
def test_a_record_that_cannot_be_written_does_not_cost_the_model(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "append", failing(UsageError("records/x.jsonl can't be written; make room")))
    code, _, err = run("--no-timing")
    assert (code, len(err.splitlines())) == (1, 1), err
    assert err.startswith("error: the record could not be kept: records/x.jsonl can't be written; make room")
    assert f"the model in {run.file}" in err
    assert run.saved()


@pytest.mark.keras
def test_a_model_that_finds_no_room_is_kept_beside_the_results(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    really_save = model_keeper.save

    def save(model: Any, file: Path, *rest: Any) -> None:
        if file == run.file:
            raise REFUSED
        really_save(model, file, *rest)

    run.file.write_bytes(b"earlier")
    monkeypatch.setattr(model_keeper, "save", save)
    code, out, err = run("--no-timing")
    assert (code, len(err.splitlines())) == (1, 1), err
    (record,) = run.records()
    kept = run.results / "local" / "models" / f"{record.run}.keras"
    assert f"(No space left on device); it is kept as {str(kept)!r}" in err
    assert f"model: {kept}" in out
    assert model_file.read(kept)
    assert run.file.read_bytes() == b"earlier"


@pytest.mark.keras
def test_a_fault_after_the_training_does_not_cost_the_model(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcdl.worker.cell._measure_speed", failing(RuntimeError("an injected fault")))
    code, out, err = run("--timing")
    assert code == 1
    assert err.splitlines()[-1] == "error: failed: RuntimeError: an injected fault"
    (record,) = run.records()
    assert record.status == "failed"
    assert run.saved()
    assert f"model: {run.file}" in out


@pytest.mark.keras
def test_ctrl_c_after_the_training_does_not_cost_the_model(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcdl.worker.cell._measure_speed", failing(KeyboardInterrupt()))
    code, out, _ = run("--timing")
    assert code == 130
    assert run.saved()
    assert out.splitlines()[-1] == f"model: {run.file}"


@pytest.mark.keras
def test_ctrl_c_as_the_record_is_written_costs_neither(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    really_append = store.append

    def append(*arguments: Any) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return really_append(*arguments)

    monkeypatch.setattr(store, "append", append)
    code, _, _ = run("--no-timing")
    assert code == 130
    assert [record.ok for record in run.records()] == [True]
    assert run.saved()


@pytest.mark.keras
def test_a_training_that_diverges_is_no_result_and_replaces_no_model(run: Train) -> None:
    run.file.write_bytes(b"earlier")
    code, out, err = run("--no-timing", "--learning-rate", "1e20")
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("error: diverged: the training diverged: ")
    assert f"use a smaller --learning-rate; no model is saved as {str(run.file)!r}" in last
    assert "Traceback" not in err
    (record,) = run.records()
    assert record.status == "diverged"
    assert not record.predictions
    assert "test_accuracy" not in record.metrics
    assert run.file.read_bytes() == b"earlier"
    assert "diverged" in out
    page = (run.results / "README.md").read_text(encoding="utf-8")
    assert "diverged: the training diverged" in page
