"""Who may import what: proved in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import backends

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("keras", *backends.NAMES)
KERAS_FREE = {
    *("augment", "cell", "datasets", "doctor", "errors", "feed", "launch", "machine", "measure", "models"),
    *(
        "options",
        "parity",
        "plots",
        "predict",
        "profiles",
        "progress",
        "quality",
        "record",
        "report",
        "run",
        "store",
        "tables",
        "train",
    ),
    "worker",
}
USING_KERAS = {"initial", "network", "regimes"}
PARITY_KERAS_FREE = {
    *("__main__", "comparison", "finding", "join", "known", "numpy_layers", "page", "picture", "plan", "rounding"),
}
PARITY_USING_KERAS = {"checkpoints", "dump", "reference", "trunk", "units"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(name for name in sys.modules if '.' not in name))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_nothing_but_the_measuring_modules_imports_keras() -> None:
    free = [*(f"bcdl.{name}" for name in KERAS_FREE), *(f"bcdl.parity.{name}" for name in PARITY_KERAS_FREE)]
    names = ", ".join(sorted(free))
    assert not modules_after(f"import {names}") & set(FRAMEWORKS)


def test_the_lists_above_are_whole() -> None:
    files = {path.stem for path in (ROOT / "bcdl").glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in (ROOT / "bcdl").glob("*/__init__.py")}
    assert files | folders == KERAS_FREE | USING_KERAS
    files = {path.stem for path in (ROOT / "bcdl" / "parity").glob("*.py")} - {"__init__"}
    assert files == PARITY_KERAS_FREE | PARITY_USING_KERAS


def test_records_and_cells_need_the_standard_library_alone() -> None:
    loaded = modules_after("import bcdl.cell, bcdl.record, bcdl.store, bcdl.models, bcdl.profiles")
    assert not loaded & {"numpy", "matplotlib", "rich", *FRAMEWORKS}


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
