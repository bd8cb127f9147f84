"""`bcdl train` trains all that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl.records import store


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
