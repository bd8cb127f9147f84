"""`bcdl train` trains all that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import predict, train
from bcdl.records import model_file, store
from tests.in_process import InProcess


@pytest.mark.keras
def test_variables_that_would_have_keras_train_less_have_no_effect(tmp_path: Path) -> None:
    """Keras reads them as it is imported: a cell of 3 epochs ran one, of one step, and timed steps that never ran."""
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
    steps = record.dataset["images"]["train"] // record.cell.batch_size
    assert steps > 1
    assert f"{steps}/{steps}" in done.stdout
    assert record.environment["variables"]["OMP_NUM_THREADS"] == "1"
    assert not {"KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"} & record.environment["variables"].keys()
    assert record.environment["threads"]


@pytest.mark.keras
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
