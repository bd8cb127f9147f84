"""What becomes of a trained model and its record, whatever goes wrong after the training; and files that are no models.

Each fault is injected into the command itself, on the backend of this process.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bcdl import predict, train
from bcdl.errors import UsageError
from bcdl.records import model_file, store
from bcdl.records.model_file import Statement
from bcdl.records.record import Record
from bcdl.report import run_end
from bcdl.runner import model_keeper
from tests import hostile_models, pages
from tests.faults.conftest import Injected
from tests.hostile_models import Case
from tests.in_process import SMALL_TRAINING, InProcess, Said

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
pytest.importorskip("bcdl.worker.cell")

BACKEND = os.environ.get("KERAS_BACKEND", "")
STATEMENT = Statement("cnn", 32, "unit", "20260101T000000Z-0000")


def fault(name: str) -> str:
    """The fault's key in the catalogue, on this backend."""
    return f"{name}_{BACKEND}"


class Train:
    """`bcdl train` of a small CNN that is saved."""

    def __init__(self, in_process: InProcess, folder: Path) -> None:
        self._in_process = in_process
        self.results, self.file = folder / "results", folder / "model.keras"

    def __call__(self, *options: str) -> Said:
        places = ("--results", self.results, "--save", self.file)
        return self._in_process(train.main, "--model", "cnn", *SMALL_TRAINING, "--epochs", "1", *places, *options)

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
def run(in_process: InProcess, tmp_path: Path) -> Train:
    return Train(in_process, tmp_path)


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: Any, **named: Any) -> Any:
        raise error

    return fail


REFUSED = OSError(errno.ENOSPC, "No space left on device", "README.md")


@pytest.mark.parametrize("error", [UsageError("it is in the way"), REFUSED, TypeError("a fault of ours\nand more")])
def test_a_report_that_fails_costs_neither_model_nor_record(
    run: Train, monkeypatch: pytest.MonkeyPatch, injected: Injected, error: Exception
) -> None:
    with injected(fault("after_training")) as tally:
        monkeypatch.setattr(run_end, "show_and_rebuild", failing(error))
        code, out, err = run("--no-timing")
        assert (code, len(err.splitlines())) == (1, 1), err
        assert err.startswith("error: the report could not be made (")
        assert f"the model in {run.file}; bcdl report --results {run.results} makes it anew" in err
        (record,) = run.records()
        assert record.ok
        assert f"{record.run}.jsonl" in err
        tally.models_lost += not run.saved()
        assert run.saved()
        assert f"model: {run.file}" in out


def test_a_record_that_cannot_be_written_does_not_cost_the_model(
    run: Train, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    with injected(fault("after_training")) as tally:
        monkeypatch.setattr(store, "append", failing(UsageError("records/x.jsonl can't be written; make room")))
        code, _, err = run("--no-timing")
        assert (code, len(err.splitlines())) == (1, 1), err
        assert err.startswith("error: the record could not be kept: records/x.jsonl can't be written; make room")
        assert f"the model in {run.file}" in err
        tally.models_lost += not run.saved()
        assert run.saved()


def test_a_model_that_finds_no_room_is_kept_beside_the_results(
    run: Train, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    with injected(fault("after_training")) as tally:
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
        tally.models_lost += not model_file.read(kept)
        assert model_file.read(kept)
        assert run.file.read_bytes() == b"earlier"


def test_a_fault_after_the_training_does_not_cost_the_model(
    run: Train, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    with injected(fault("after_training")) as tally:
        monkeypatch.setattr("bcdl.worker.cell._measure_speed", failing(RuntimeError("an injected fault")))
        code, out, err = run("--timing")
        assert code == 1
        *_, line = err.splitlines()
        assert line.startswith("error: failed: RuntimeError: an injected fault; its traceback is in ")
        (record,) = run.records()
        assert record.status == "failed"
        tally.models_lost += not run.saved()
        assert run.saved()
        assert f"model: {run.file}" in out


def test_ctrl_c_after_the_training_does_not_cost_the_model(
    run: Train, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    with injected(fault("after_training")) as tally:
        monkeypatch.setattr("bcdl.worker.cell._measure_speed", failing(KeyboardInterrupt()))
        code, out, _ = run("--timing")
        assert code == 130
        tally.models_lost += not run.saved()
        assert run.saved()
        assert out.splitlines()[-1] == f"model: {run.file}"


def test_ctrl_c_as_the_record_is_written_costs_neither(
    run: Train, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    with injected(fault("after_training")) as tally:
        really_append = store.append

        def append(*arguments: Any) -> Path:
            signal.raise_signal(signal.SIGINT)
            return really_append(*arguments)

        monkeypatch.setattr(store, "append", append)
        code, _, _ = run("--no-timing")
        assert code == 130
        assert [record.ok for record in run.records()] == [True]
        tally.models_lost += not run.saved()
        assert run.saved()


def test_a_training_that_diverges_is_no_result_and_replaces_no_model(run: Train, injected: Injected) -> None:
    with injected(fault("divergence")):
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
        page = pages.text(run.results)
        assert "diverged: the training diverged" in page


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)).save(file)
    return file


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return hostile_models.save_sound(tmp_path / "sound.keras", keras, lambda saved: model_file.seal(saved, STATEMENT))


Check = Callable[[str, Iterator[Case]], None]


@pytest.fixture
def check(in_process: InProcess, image: Path, tmp_path: Path, injected: Injected) -> Check:
    """That `bcdl predict` refuses each file on one line that names it and not the image, and gives no score."""

    def refuses(case: Case) -> str:
        assume = ["--assume", case.assume] if case.assume else []
        code, out, err = in_process(predict.main, tmp_path / f"{case.name}.keras", image, *assume, "--device", "cpu")
        named = len(err.splitlines()) == 1 and err.startswith("error: ") and f"{case.name}.keras" in err
        fits = code == case.code and named and not err.startswith(f"error: {image}") and "\t" not in out
        return "" if fits and case.says in err else f"{case.name}: {code} {out!r} {err!r}"

    def check_all(name: str, cases: Iterator[Case]) -> None:
        made = list(cases)
        with injected(fault(name), names=[case.name for case in made]):
            assert [wrong for case in made if (wrong := refuses(case))] == []

    return check_all


def test_a_foreign_model_is_refused(check: Check, tmp_path: Path) -> None:
    """Before, NaN and 0 and 0 were "benign 0.5000", and shapes that do not fit blamed the image or gave a traceback."""
    check("foreign_models", hostile_models.foreign(tmp_path, keras))


def test_a_damaged_file_is_refused(check: Check, sound: Path, tmp_path: Path) -> None:
    check("damaged_models", hostile_models.damaged(tmp_path, sound))


def test_a_file_that_holds_code_runs_none(check: Check, sound: Path, tmp_path: Path) -> None:
    check("model_files", hostile_models.holding_code(tmp_path, sound, tmp_path / "sprung"))
    assert not (tmp_path / "sprung").exists()
