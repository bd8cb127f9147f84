"""`bcdl train` trains all that was asked for."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import predict, train
from bcdl.errors import DEBUG
from bcdl.records import model_file, store
from tests.in_process import SMALL_TRAINING, InProcess

CELL = ("--model", "cnn", *SMALL_TRAINING)


def is_plain(text: str) -> bool:
    """Whether the text has no control character but line ends."""
    return not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


@pytest.mark.keras
@pytest.mark.any_backend
def test_variables_that_would_have_keras_train_less_have_no_effect(tmp_path: Path) -> None:
    """Keras reads them as it is imported: a cell of 3 epochs ran one, of one step, and timed steps that never ran."""
    pytest.importorskip("keras")
    variables = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1", "OMP_NUM_THREADS": "1"}
    options = (*CELL, "--epochs", "3")
    variables["FORCE_COLOR"] = "1"  # as some CI services have it: what is stored has no colours in any case
    command = [sys.executable, "-m", "bcdl.train", *options, "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr
    assert "note: KERAS_MAX_EPOCHS is set, and has no effect: what runs is what was asked for" in done.stdout
    ((_, record),), _ = store.read_all(tmp_path)
    assert len(record.history["loss"]) == 3
    assert len(record.samples["fit_s"]) == 2
    steps = record.dataset["images"]["train"] // record.cell.batch_size
    assert steps > 1
    assert re.findall(r"^(?:epoch (\d)/3: \d+\.\d s, accuracy .*, loss .*, val_accuracy .*)$", done.stdout, re.M) == [
        "1",
        "2",
        "3",
    ]
    assert is_plain(done.stdout), repr(done.stdout)
    assert record.environment["variables"]["OMP_NUM_THREADS"] == "1"
    assert not {"KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"} & record.environment["variables"].keys()
    assert record.environment["threads"]


@pytest.mark.keras
@pytest.mark.any_backend
def test_a_saved_model_says_by_which_depth_it_learnt_and_predict_reads_by_it(
    in_process: InProcess, tmp_path: Path
) -> None:
    """One file alone was read by a depth of its own."""
    pytest.importorskip("keras")
    for kind, level in (("benign", 900), ("malignant", 4000)):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(12):
            levels = np.random.default_rng([level, number]).integers(0, level + 1, (32, 32)).astype(np.uint16)
            Image.fromarray(levels).save(tmp_path / "data" / kind / f"{number}.png")
    options = ("--model", "cnn", "--profile", "smoke", "--image-size", "32", "--epochs", "1", "--batch-size", "8")
    places = ("--data", tmp_path / "data", "--results", tmp_path / "results", "--save", tmp_path / "cnn.keras")
    code, out, _ = in_process(train.main, *options, *places, "--device", "cpu", "--no-timing")
    assert (code, "note: 24 grey images of more than 8 bits: 12 bits found" in out) == (0, True)
    statement = model_file.read(tmp_path / "cnn.keras")
    assert statement
    assert statement.grey_bits == 12
    dark, bright = (tmp_path / "data" / kind / "0.png" for kind in ("benign", "malignant"))
    _, alone, err = in_process(predict.main, tmp_path / "cnn.keras", dark, "--device", "cpu")
    _, beside, _ = in_process(predict.main, tmp_path / "cnn.keras", dark, bright, "--device", "cpu")
    assert alone == beside.splitlines(keepends=True)[0]
    assert "are read as of 12 bits, as those that the model learnt from" in err


@pytest.mark.keras
@pytest.mark.any_backend
def test_faults_of_the_source_study_are_in_the_model_its_file_and_its_record(
    in_process: InProcess, tmp_path: Path
) -> None:
    """Pixels that are not scaled, and a zoom range of 2."""
    keras = pytest.importorskip("keras")
    options = (*CELL, "--preprocessing", "none", "--zoom-range", "2", "--no-timing")
    code, _, err = in_process(train.main, *options, "--results", tmp_path / "results", "--save", tmp_path / "cnn.keras")
    assert code == 0, err
    statement = model_file.read(tmp_path / "cnn.keras")
    assert statement
    assert statement.preprocessing == "none"
    assert keras.models.load_model(tmp_path / "cnn.keras").get_layer("preprocess").mode == "none"
    ((_, record),), _ = store.read_all(tmp_path / "results")
    assert (record.cell.preprocessing, record.cell.zoom_range) == ("none", 2)


@pytest.mark.keras
@pytest.mark.any_backend
def test_on_a_terminal_a_training_has_the_bar_of_keras(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    reader, terminal = pty.openpty()
    values = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
    options = (*CELL, "--epochs", "1", "--no-timing", "--results", str(tmp_path))
    command = [sys.executable, "-m", "bcdl.train", *options]
    with subprocess.Popen(command, env={**values, "TERM": "xterm"}, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b"".join(iter(lambda: _part(reader), b"")).decode()
    os.close(reader)
    assert process.returncode == 0, shown
    assert not is_plain(shown)
    assert re.search(r"7/7.*val_accuracy: ", shown)
    assert "epoch 1/1: " not in shown


def _part(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:  # Linux's sign that nobody has the terminal any more
        return b""


@pytest.mark.keras
def test_a_cell_that_fails_says_so_in_a_line_and_its_traceback_is_in_the_runs_log(
    in_process: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("keras")

    def fails(*arguments: object, **named: object) -> None:
        raise RuntimeError("an injected fault")

    monkeypatch.setattr("bcdl.worker.cell.prepare", fails)
    monkeypatch.setenv(DEBUG, "0")
    code, out, err = in_process(train.main, *CELL, "--results", tmp_path)
    (log,) = tmp_path.glob("local/runs/*/*.log")
    assert (code, err) == (1, f"error: failed: RuntimeError: an injected fault; its traceback is in {log}\n")
    assert "Traceback" not in out
    assert 'raise RuntimeError("an injected fault")' in log.read_text(encoding="utf-8")
    code, _, err = in_process(train.main, *CELL, "--results", tmp_path / "again", "--debug")
    assert (code, 'raise RuntimeError("an injected fault")' in err) == (1, True)
