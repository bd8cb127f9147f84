"""Who may import what: proved in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import backends
from bcdl.records.record import Record
from tests.factory import jobs

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("keras", *backends.NAMES)


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(name for name in sys.modules if '.' not in name))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )


USING_KERAS = {"bcdl.worker", "bcdl.parity.worker", "bcdl.experiments"}


def test_nothing_but_the_workers_imports_keras() -> None:
    files = [file for file in (ROOT / "bcdl").rglob("*.py") if file.stem != "__main__"]
    dotted = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    modules = {name.removesuffix(".__init__") for name in dotted}
    wings = tuple(f"{package}." for package in USING_KERAS)
    names = ", ".join(sorted(name for name in modules if not name.startswith(wings)))
    assert not modules_after(f"import {names}") & set(FRAMEWORKS)


def test_records_and_cells_need_the_standard_library_alone() -> None:
    loaded = modules_after("import bcdl.settings.cell, bcdl.records.record, bcdl.records.store, bcdl.settings.profiles")
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
        f"import sys; sys.modules.update(dict.fromkeys({absent})); from bcdl.worker import measurement\n"
        f"measurement.main(*{arguments})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    record = Record.from_json((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (record.status, record.reason) == ("ok", "")


def test_the_door_to_the_backends_imports_none() -> None:
    assert not modules_after("from bcdl import backends; backends.is_installed('jax')") & set(FRAMEWORKS)


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
