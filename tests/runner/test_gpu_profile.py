"""`pytest benchmarks` as people type it on a machine with a GPU; NVML and the workers are stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bcdl.machine import provenance
from bcdl.records import store
from tests.faults import driver
from tests.machine import fake_nvml
from tests.machine.fake_nvml import FakeGpu


def test_a_budget_on_a_gpu_runs_what_is_of_most_value_first(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    results = tmp_path / "results"
    values = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    values |= {**fake_nvml.variables(library, FakeGpu()), driver.PLAN: str(driver.plan(tmp_path))}
    command = (sys.executable, "-m", "pytest", "benchmarks", "-p", driver.__name__, "--backend", "torch")
    few = ("--models", "cnn,mobilenet,resnet50", "--data", "synthetic-96", "--image-size", "32", "--budget", "9m")
    done = subprocess.run(
        [*command, *few, "--results", str(results)],
        cwd=provenance.ROOT,
        env=values,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "profile gpu, the default on a GPU; --profile chooses another" in done.stdout, done.stdout + done.stderr
    assert "that of most value runs first" in done.stdout
    cells = [record.cell for _, record in store.read_all(results)[0]]
    assert [(cell.model, cell.precision) for cell in cells] == [
        (model, precision)
        for models in (("mobilenet", "resnet50"), ("cnn",))
        for precision in ("mixed_bfloat16", "tf32", "float32")
        for model in models
    ]
    assert {(cell.profile, cell.device, cell.batch_size, cell.window_steps) for cell in cells} == {
        ("gpu", "gpu", 32, 20)
    }
