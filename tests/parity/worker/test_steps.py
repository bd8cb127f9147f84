"""Steps of a parity run as commands, on the backend of this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bcdl.parity import known_differences
from bcdl.parity.references import default_folder, find
from bcdl.parity.settings import Plan
from tests.conftest import ROOT

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")


def test_only_sound_float64_gives_a_reference(tmp_path: Path) -> None:
    code = "import sys; from bcdl.parity.__main__ import main; main(); print('bcdl.report' in sys.modules)"
    options = ["--models", "cnn", "--image-size", "32", "--draws", "1", "--device", "cpu", "--results", str(tmp_path)]
    command = [sys.executable, "-c", code, "reference", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("False\n"), "only a report draws"
    plan = Plan("cnn", 32, 4, 0, "float32", "cpu", 1)
    reference = find(default_folder(tmp_path), plan)
    sound = reference is not None
    assert sound == ("no reference from" not in done.stdout)
    assert sound == (keras.backend.backend() not in known_differences.UNSOUND_FLOAT64)
    if reference:
        assert reference.facts["gradient_check"] < 1e-6
