"""Who may import what: proved in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import backends
from bcdl.record import Record
from tests.factory import jobs

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("keras", *backends.NAMES)
# Every other module must do without Keras and without a framework.
USING_KERAS = {"batch_norm", "cost", "explain", "initial", "network", "peak", "probe", "regimes", "state", "training"}
PARITY_USING_KERAS = {"checkpoints", "determinism", "dump", "reference", "trunk", "units"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(name for name in sys.modules if '.' not in name))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )


def modules_in(package: str) -> set[str]:
    """Names of the modules and packages in a package's folder."""
    folder = ROOT / package.replace(".", "/")
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in folder.glob("*/__init__.py")}


@pytest.mark.parametrize(
    ("package", "using_keras"),
    [("bcdl", USING_KERAS), ("bcdl.parity", PARITY_USING_KERAS), ("bcdl.evaluation", set()), ("bcdl.datasets", set())],
)
def test_nothing_but_the_measuring_modules_imports_keras(package: str, using_keras: set[str]) -> None:
    assert using_keras <= modules_in(package)
    names = ", ".join(f"{package}.{name}" for name in sorted(modules_in(package) - using_keras))
    assert not modules_after(f"import {names}") & set(FRAMEWORKS)


def test_records_and_cells_need_the_standard_library_alone() -> None:
    loaded = modules_after("import bcdl.cell, bcdl.record, bcdl.store, bcdl.models, bcdl.profiles")
    assert not loaded & {"numpy", "matplotlib", "rich", *FRAMEWORKS}


@pytest.mark.keras
def test_a_cell_without_augmentation_needs_no_opencv_scipy_or_scikit_learn(tmp_path: Path) -> None:
    """A worker where they can't be imported; JAX itself needs SciPy, so that one is left where JAX is."""
    backend = os.environ["KERAS_BACKEND"]
    absent = [*("cv2", "sklearn"), *(["scipy"] if not importlib.util.find_spec("jax") else [])]
    (job,) = jobs(backend, "cnn", image_size="32", epochs="1", augment=False)
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"job": job.to_dict(), "run": "a-run"}), encoding="utf-8")
    arguments = [str(file), str(tmp_path / "result.json"), str(tmp_path / "events")]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); from bcdl import worker; worker.main(*{arguments})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    record = Record.from_json((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (record.status, record.reason) == ("ok", "")


def test_the_door_to_the_backends_imports_none() -> None:
    assert not modules_after("import backends; backends.is_installed('jax')") & set(FRAMEWORKS)


@pytest.mark.parametrize("name", backends.NAMES)
def test_a_backend_brings_its_pinned_requirements(name: str) -> None:
    for kind in ("cpu", "gpu"):
        lines = (ROOT / "backends" / name / f"requirements-{kind}.txt").read_text().splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        assert pins
        assert all("==" in line for line in pins)
        assert any(line.startswith("keras==") for line in pins)
        assert any(line.startswith("pytest-benchmark==") for line in pins)
        assert not any("://" in line for line in pins)


def test_the_folder_of_backends_is_not_on_the_path() -> None:
    assert str(ROOT / "backends") not in sys.path
