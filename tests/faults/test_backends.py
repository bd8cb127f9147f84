"""Some of the faults with the real worker of a real backend, and files that Keras must not run or follow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from bcdl.records.record import Record
from bcdl.runner import launch
from bcdl.settings.limits import Limits
from tests.conftest import ROOT
from tests.factory import job
from tests.faults.conftest import Injected

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")

MIB = 2**20
BACKEND = os.environ.get("KERAS_BACKEND", "")


def run(tmp_path: Path, on_phase: Callable[[str], None] = print, fault: str = "", **options: object) -> Record:
    """The record of a small real cell on this backend."""
    worker = ("-m", "tests.faults.real_worker", fault) if fault else launch.WORKER
    weights = options.pop("weights_file", None)
    cell = job(backend=BACKEND, **({"model": "mobilenet", "weights": "file.h5"} if weights else {}))
    asked = cell if weights is None else type(cell)(cell.cell, cell.data, str(weights), cell.skip_unreadable)
    return launch.run(asked, "a-run", tmp_path / "worker.log", on_phase, worker=worker, **options)


def fault(name: str) -> str:
    """The fault's key in the catalogue, on this backend."""
    return f"{name}_{BACKEND}"


def test_memory_beyond_its_limit_is_reported(tmp_path: Path, injected: Injected) -> None:
    with injected(fault("memory_limit")):
        record = run(tmp_path, limits=Limits(memory_bytes=150 * MIB))
        assert record.status == "out_of_memory", record.reason
        assert "more than --memory-limit, 150 MiB" in record.reason


def test_time_beyond_its_limit_is_reported(tmp_path: Path, injected: Injected) -> None:
    with injected(fault("time_limit")):
        record = run(tmp_path, limits=Limits(seconds=1.5))
        assert record.status == "timed_out", record.reason


def test_a_killed_worker_is_reported(tmp_path: Path, injected: Injected) -> None:
    def kill(phase: str) -> None:
        if phase == "building":
            for child in psutil.Process().children():
                if "bcdl.worker" in child.cmdline():
                    child.kill()

    with injected(fault("worker_killed")):
        record = run(tmp_path, kill)
        assert (record.status, "ended by SIGKILL" in record.reason) == ("crashed", True), record.reason


def test_the_frameworks_own_lack_of_memory_is_distinguished_from_other_errors(
    tmp_path: Path, injected: Injected
) -> None:
    with injected(fault("framework_memory"), names=["memory", "another error"]):
        record = run(tmp_path, fault="ask_for_too_much")
        assert record.status == "out_of_memory", (record.reason, record.log_tail)
        record = run(tmp_path, fault="multiply_what_does_not_fit")
        assert record.status == "failed", record.reason


def predict(model: Path, folder: Path) -> str:
    """What `bcdl.predict` says when it refuses the model."""
    Image.new("RGB", (32, 32)).save(folder / "image.png")
    assumed = ("--assume", "benign,malignant")
    command = [sys.executable, "-m", "bcdl.predict", *assumed, "--model", str(model), str(folder / "image.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "can't be loaded as a Keras model" in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def saved(file: Path, layer: object) -> Path:
    keras.Sequential([keras.Input((32, 32, 3)), layer, keras.layers.Flatten(), keras.layers.Dense(2)]).save(file)
    return file


@pytest.mark.any_backend
def test_a_model_file_that_holds_code_is_refused(tmp_path: Path, injected: Injected) -> None:
    sprung = tmp_path / "sprung"
    code = keras.layers.Lambda(lambda x, file=str(sprung): __import__("os").makedirs(file, exist_ok=True) or x)
    sound = saved(tmp_path / "sound.keras", keras.layers.Rescaling(1.0))
    with zipfile.ZipFile(sound) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    config = json.loads(parts["config.json"])
    layer = next(part for part in config["config"]["layers"] if part["class_name"] == "Rescaling")
    layer.update(module="os", class_name="mkdir", registered_name=None, config={"path": str(sprung)})
    with zipfile.ZipFile(tmp_path / "path.keras", "w") as changed:
        for name, content in {**parts, "config.json": json.dumps(config).encode()}.items():
            changed.writestr(name, content)
    holding = saved(tmp_path / "code.keras", code)
    sprung.rmdir()  # to build the layer was to run it
    with injected(fault("model_files"), names=["a layer of code", "a function of os, in a process"]):
        predict(holding, tmp_path)
        predict(tmp_path / "path.keras", tmp_path)
        assert not sprung.exists()


@pytest.mark.any_backend
def test_weights_that_lead_elsewhere_or_are_garbage_give_a_message(tmp_path: Path, injected: Injected) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "elsewhere.h5", "w") as elsewhere:
        elsewhere["secret"] = [1.0]
    with h5py.File(tmp_path / "linked.weights.h5", "w") as linked:
        linked["layers"] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/")
    (tmp_path / "garbage.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 40)
    for name in ("linked.weights.h5", "garbage.h5"):
        with injected(fault("weights_files"), names=[name]):
            record = run(tmp_path, weights_file=tmp_path / name)
            assert record.status == "failed"
            assert f"the weights file {name} does not fit mobilenet" in record.reason, record.reason
