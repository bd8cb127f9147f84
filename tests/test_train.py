"""What becomes of the model that `bcdl train` saves."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import train
from bcdl.errors import BcdlError
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


class HalfWritten:
    """A model whose disk is full after a few bytes."""

    def save(self, file: Path) -> None:
        file.write_bytes(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")


class Whole:
    """A model that can be written."""

    def save(self, file: Path) -> None:
        assert file.suffix == ".keras"  # Keras takes no other
        file.write_bytes(b"new")


def test_a_place_that_takes_no_model_is_refused_before_the_training(tmp_path: Path) -> None:
    folder = tmp_path / "model.keras"
    folder.mkdir()
    command = [sys.executable, "-m", "bcdl.train", "--model", "cnn", "--save", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --save {str(folder)!r} is a folder; name a file\n"


def test_a_full_disk_leaves_an_earlier_model_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    file.write_bytes(b"earlier")
    with pytest.raises(BcdlError, match=r"could not be saved .*No space left on device.* make room"):
        train.save(HalfWritten(), file)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.keras", b"earlier")]


def test_a_saved_model_replaces_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    file.write_bytes(b"earlier")
    train.save(Whole(), file)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.keras", b"new")]
