"""Steps of a parity run as commands, on the backend of this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bcdl.machine import hardware
from bcdl.parity import __main__ as parity_command
from bcdl.parity import known_differences, upgrade
from bcdl.parity.dumps import dump_of
from bcdl.parity.references import default_folder, find
from bcdl.parity.settings import Plan
from bcdl.worker import session
from tests.conftest import ROOT

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")


def parity(step: str, results: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bcdl.parity", step, "--image-size", "32", "--results", str(results), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_model_of_a_run_is_dumped_in_the_precision_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras forgets the dtype policy with a model, so that those after it were in float32.

    In this process, and without the checks of each layer type, which are tested in this precision by themselves.
    """
    monkeypatch.setattr("bcdl.parity.worker.layer_checks.check", dict)
    options = ("--models", "cnn,cnn", "--precision", "mixed_bfloat16", "--device", "cpu", "--draws", "0")
    monkeypatch.setattr(sys, "argv", ["parity", "dump", "--image-size", "32", "--results", str(tmp_path), *options])
    try:
        assert parity_command.main() == 0
    finally:
        session.set_keras_defaults("float32")
    plan = Plan("cnn", 32, 4, 0, "mixed_bfloat16", "cpu", 0)
    dumped = dump_of(tmp_path, plan, keras.backend.backend())
    (_, size), *_ = dumped.segments["inference_layers"]
    bits = np.array(dumped.vector("inference_layers")[:size], dtype=np.float32).view(np.uint32)
    assert not (bits & 0xFFFF).any(), "the first layer's output has more bits than bfloat16"


@pytest.mark.skipif(hardware.default_device() == "gpu", reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    done = parity("dump", tmp_path, "--models", "cnn", "--device", "gpu")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: --device gpu with --precision float32 can't be had on {keras.backend.backend()}: ")
    assert "Traceback" not in done.stderr


def test_two_sides_of_one_backend_are_the_same_and_load_each_others_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, and without the checks of each layer type; an upgrade has a Python for each side."""

    def run(step: upgrade._Step, name: str, side: upgrade.Side) -> None:
        monkeypatch.setattr(sys, "argv", ["parity", *step._arguments(name, side)])
        assert parity_command.main() == 0

    monkeypatch.setattr("bcdl.parity.worker.layer_checks.check", dict)
    monkeypatch.setattr(upgrade._Step, "_run", run)
    backend = keras.backend.backend()
    sides = [upgrade.Side(f"{backend}.{letter}", sys.executable) for letter in "ab"]
    plan = Plan("cnn", 32, 4, 0, "float32", "cpu", 0)
    outcome = upgrade.compare(sides, [plan], tmp_path, "20260101T000000Z-0000", lambda line: None)
    assert outcome.regressions == []
    assert [line.rpartition(": ")[2] for line in outcome.lines[1:]] == ["yes", "yes"]


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
