"""What the machine is called, and what is never in its name."""

from __future__ import annotations

import platform
import re

import pytest

from bcdl.machine import hardware


def test_a_machines_name_is_its_hardware_and_never_its_host() -> None:
    name = hardware.machine_name("cpu")
    assert re.fullmatch(r"[a-z0-9-]+-\d+-cores-[0-9a-f]{8}", name)
    assert platform.node().lower() not in name


def test_gpus_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpu_names", lambda: ("NVIDIA H200", "NVIDIA H200"))
    assert re.fullmatch("nvidia-h200-x2-[0-9a-f]{8}", hardware.machine_name("gpu"))


def test_without_a_driver_the_device_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_nvidia_driver", lambda: False)
    assert hardware.default_device() == "cpu"
    monkeypatch.setattr(hardware, "has_nvidia_driver", lambda: True)
    assert hardware.default_device() == "gpu"


@pytest.mark.parametrize(
    ("printed", "is_lacking"), [("9.0\n9.0", False), ("7.5", True), ("[N/A]", True), ("[N/A]\n9.0", True), (None, True)]
)
def test_arithmetic_of_a_gpu_by_what_its_driver_reports(
    printed: str | None, is_lacking: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "output", lambda *command: printed)
    assert bool(hardware.lacks("gpu", "tf32")) is is_lacking
    assert hardware.lacks("gpu", "float32") == ""


def test_what_is_said_of_the_machine_names_no_folder() -> None:
    facts = hardware.describe("cpu")
    assert facts["cpu_cores"] >= 1
    assert facts["versions"]["numpy"]
    assert "/" not in str(facts)
