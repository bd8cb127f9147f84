"""`bcdl train` on files that are named after patients, and by somebody hostile, on the backend of this process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl.records import store
from tests import pages
from tests.conftest import ROOT
from tests.faults.conftest import Injected
from tests.faults.test_privacy import HOSTILE, in_names

pytestmark = [pytest.mark.keras, pytest.mark.any_backend]
pytest.importorskip("keras")

SMALL = ("--model", "cnn", "--profile", "smoke", "--image-size", "32", "--epochs", "1")


def test_a_training_stores_no_patient_and_prints_no_control_character(tmp_path: Path, injected: Injected) -> None:
    data = in_names(tmp_path / "set", f"ROE^JANE{HOSTILE}")
    command = [sys.executable, "-m", "bcdl", "train", *SMALL, "--data", str(data), "--results", str(tmp_path / "out")]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with injected(f"private_training_{os.environ['KERAS_BACKEND']}", times=5):
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not re.search(r"\x1b\]|\x07|\u202e|^error", done.stdout + done.stderr, re.MULTILINE)
        ((_, record),), _ = store.read_all(tmp_path / "out")
        assert record.dataset["names"] == "hashed"
        assert not re.search(r"ROE|owned|forged", record.to_json())
        assert str(tmp_path) not in record.to_json()
        assert not re.search(r"ROE|owned", pages.text(tmp_path / "out"))
