"""Experiments: kept, read back, shown; and the one on callbacks, on the framework of this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import experiment, report
from bcdl.errors import UsageError
from bcdl.experiment import Experiment

ROOT = Path(__file__).resolve().parent.parent
BACKEND = os.environ.get("KERAS_BACKEND", "")
ONE = Experiment(
    "r1", "A name", "cnn on torch", ("plain", "other"), [10.0, 11.0, 10.5], [5.0, 5.5, 5.2], "images/s", {}
)


def test_an_experiment_reads_back_as_it_was_written(tmp_path: Path) -> None:
    experiment.append(tmp_path, "m", ONE)
    assert experiment.read_all(tmp_path) == [("m", ONE)]


def test_a_torn_experiment_is_named(tmp_path: Path) -> None:
    file = experiment.append(tmp_path, "m", ONE)
    file.write_text(file.read_text()[:-30])
    with pytest.raises(UsageError, match=r"r1\.jsonl, line 1"):
        experiment.read_all(tmp_path)


def test_the_newest_stands_on_the_page_with_its_ratio(tmp_path: Path) -> None:
    experiment.append(tmp_path, "m", Experiment(**{**vars(ONE), "run": "r0", "b": [1.0, 1.0, 1.0]}))
    experiment.append(tmp_path, "m", ONE)
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "## Experiments" in page
    assert "| cnn on torch | plain | other | 10.5 | 5.2 | 0.498 | 0.495 to 0.500 | 0.25 | 3 |" in page
    (table,) = tmp_path.glob("tables/*.csv")
    assert table.read_text().splitlines()[1].endswith("0.25,3")


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("callback", {("no callback", "told by callback"), ("no callback", "with callback")}),
        ("overhead", {("bare fit", "under the harness")}),
    ],
)
def test_an_experiment_runs(tmp_path: Path, name: str, ways: set[tuple[str, str]]) -> None:
    pytest.importorskip("keras")
    command = [sys.executable, "-m", f"benchmarks.experiment_{name}", "--backend", BACKEND, "--models", "cnn"]
    settings = ["--profile", "smoke", "--image-size", "32", "--rounds", "2", "--results", str(tmp_path)]
    done = subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [one for _, one in experiment.read_all(tmp_path)]
    assert {one.ways for one in found} == ways
    assert all(len(one.a) == len(one.b) == 2 and min(*one.a, *one.b) > 0 for one in found)
