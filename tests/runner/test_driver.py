"""What a driver has in its memory while its cells run: in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = ("bcdl.runner.run", "benchmarks.conftest", "bcdl.train", "bcdl.ab", "bcdl.run")
HEAVY = {"matplotlib", "sklearn", "scipy"}


def modules_after(code: str) -> set[str]:
    """The modules that a process has after the code."""
    listed = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def check_of(data: str, results: Path) -> str:
    """Code that checks a run of one cell on the data set, as a command does before its first cell."""
    return (
        "from pathlib import Path\nfrom bcdl.runner.run import Run\nfrom tests.factory import job\n"
        f"run = Run([job({data!r})], Path({str(results)!r}), resume=True)\nassert run.check()\n"
    )


@pytest.mark.parametrize("module", DRIVERS)
def test_a_driver_imports_neither_pictures_nor_statistics_nor_a_report(module: str) -> None:
    loaded = modules_after(f"import {module}")
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.startswith("bcdl.report")}


def test_nor_does_it_for_the_check_of_its_data(tmp_path: Path) -> None:
    loaded = modules_after(check_of("synthetic-48", tmp_path))
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.startswith("bcdl.report")}
