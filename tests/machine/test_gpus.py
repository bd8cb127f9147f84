"""Which GPU computes: as CUDA has it, by what NVML says, and the same in all that is said and done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.machine import environment, gpus, hardware
from bcdl.machine.gpus import Card, Gpu
from tests.machine import fake_nvml
from tests.machine.fake_nvml import H100, SLICED, T4, FakeGpu, Slice

BOTH = (T4, FakeGpu())  # NVML lists the T4 first, whose PCI address is the higher
UUID = FakeGpu().uuid


def see(monkeypatch: pytest.MonkeyPatch, folder: Path, *listed: FakeGpu, init: int = 0, visible: str = "all") -> None:
    fake_nvml.loaded(monkeypatch, folder, *listed, init=init)
    if visible != "all":
        monkeypatch.setenv(gpus.VISIBLE, visible)


@pytest.mark.parametrize(
    ("visible", "name"),
    [
        ("all", H100),
        ("0", H100),
        ("1", "Tesla T4"),
        ("1,0", "Tesla T4"),
        ("1,9", "Tesla T4"),
        (T4.uuid, "Tesla T4"),
        ("GPU-1111", "Tesla T4"),
        (" 1 , 0", "Tesla T4"),
        ("-1", None),
        ("", None),
        ("9,0", None),
        ("GPU-", None),
        ("GPU-2", None),
        ("1,1", None),
        ("none", None),
        ("1" + 5000 * "0", None),
    ],
)
def test_the_gpu_that_computes_is_the_first_that_cuda_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str, name: str | None
) -> None:
    see(monkeypatch, tmp_path, *BOTH, visible=visible)
    gpu = gpus.computing()
    assert (gpu and gpu.name) == name
    assert gpus.variables() == ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu.uuid} if gpu else {})


def test_all_that_is_said_of_the_machine_is_of_that_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of two, the machine was named after both, and TF32 was judged by the other one."""
    see(monkeypatch, tmp_path, *BOTH, visible="1")
    facts = hardware.describe("gpu")
    assert hardware.machine_name("gpu") == f"tesla-t4-x1-{facts['identity']['digest']}"
    assert facts["gpus"] == ["Tesla T4"]
    assert [gpu["name"] for gpu in facts["identity"]["gpus"]] == ["Tesla T4"]
    assert facts["gpu"] == {
        "memory_mib": 15360,
        "power_limit_w": 70.0,
        "ecc": True,
        "mig": "not supported",
        "cuda_driver": "13.0",
        "pcie_generation": 5,
        "pcie_width": 16,
        "present": 2,
    }
    assert facts["driver"] == "580.65.06"
    (digest,) = facts["gpu_uuids"]
    assert len(digest) == 8
    assert digest not in T4.uuid
    assert hardware.lacks("gpu", "tf32")
    monkeypatch.setenv(gpus.VISIBLE, "0")
    assert hardware.lacks("gpu", "tf32") == ""
    assert "gpu" not in hardware.describe("cpu")


def test_what_a_driver_does_not_report_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = FakeGpu(capability="0.0", ecc=-1, mig=-1, power_limit_w=-1, pcie_generation=-1, pcie_width=-1)
    see(monkeypatch, tmp_path, silent)
    facts = hardware.describe("gpu")
    assert facts["gpu"].keys() == {"memory_mib", "mig", "cuda_driver", "present"}
    assert "gpus" in facts["identity"]["unknown"]
    assert hardware.lacks("gpu", "mixed_bfloat16")


def test_a_gpu_without_a_uuid_is_left_visible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CUDA would find none of the name `unknown`."""
    see(monkeypatch, tmp_path, FakeGpu(uuid=""))
    assert gpus.variables() == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.parametrize("visible", ["all", "0", UUID, SLICED.slices[0].uuid, "MIG-5f1a"])
def test_of_a_divided_gpu_an_instance_computes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str) -> None:
    see(monkeypatch, tmp_path, SLICED, visible=visible)
    facts = hardware.describe("gpu")
    assert facts["gpus"] == [f"{H100} MIG 1g.10gb"]
    assert (facts["gpu"]["memory_mib"], facts["gpu"]["mig"]) == (9984, "Enabled")
    assert facts["identity"]["gpus"][0]["compute_capability"] == "9.0"
    assert gpus.variables()[gpus.VISIBLE] == SLICED.slices[0].uuid


def test_another_instance_is_had_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    second = Slice("MIG-77777777-9b1e-5e07-8c62-3a1f6f0d7b11", f"{H100} MIG 2g.20gb", 19968)
    see(monkeypatch, tmp_path, FakeGpu(mig=1, slices=(Slice(), second)), visible=second.uuid)
    assert hardware.machine_name("gpu").startswith("nvidia-h100-80gb-hbm3-mig-2g-20gb-x1-")


@pytest.mark.parametrize(
    ("listed", "init", "visible", "device", "says"),
    [
        ((), 0, "all", "cpu", "shows this process no GPU"),
        ((), fake_nvml.NO_PERMISSION, "all", "cpu", "NVML says: Insufficient Permissions"),
        ((), fake_nvml.DRIVER_NOT_LOADED, "all", "cpu", "NVML says: Driver Not Loaded"),
        (BOTH, 0, "", "cpu", "CUDA_VISIBLE_DEVICES='' hides the GPUs of this machine; unset it"),
        (BOTH, 0, "-1", "cpu", "CUDA_VISIBLE_DEVICES='-1' hides the GPUs"),
        (BOTH, 0, "2", "gpu", "CUDA_VISIBLE_DEVICES='2' names no GPU of this machine; use 0 to 1, or a UUID"),
        (BOTH, 0, "GPU-77", "gpu", "names no GPU of this machine"),
        ((FakeGpu(mig=1),), 0, "all", "cpu", "MIG is on and no instance was made"),
    ],
)
def test_without_a_gpu_the_reason_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    listed: tuple[FakeGpu, ...],
    init: int,
    visible: str,
    device: str,
    says: str,
) -> None:
    see(monkeypatch, tmp_path, *listed, init=init, visible=visible)
    assert hardware.default_device() == device
    with pytest.raises(UsageError, match="--device gpu: ") as raised:
        gpus.check("gpu")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    gpus.check("cpu")
    hidden = visible in ("", "-1")
    assert [says in notice for notice in gpus.notices("cpu")] == ([] if hidden else [True])


def test_a_machine_without_a_driver_is_left_to_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may know a GPU of another kind."""
    monkeypatch.setattr(gpus, "found", lambda: gpus.Found())
    monkeypatch.setenv(gpus.VISIBLE, "0")
    gpus.check("gpu")
    assert hardware.default_device() == "cpu"
    assert gpus.notices("cpu") == gpus.notices("gpu") == []
    assert hardware.machine_name("gpu").startswith("unknown-gpu-")


def test_a_process_that_measures_sees_one_gpu_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    see(monkeypatch, tmp_path, *BOTH, visible="1,0")
    expected = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": T4.uuid}
    assert expected.items() <= environment.of_child().items()
    name, facts = hardware.machine_name("gpu"), hardware.describe("gpu")
    for variable in gpus.variables():  # monkeypatch puts them back
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    environment.prepare("cpu")
    assert os.environ[gpus.VISIBLE] == "1,0"
    environment.prepare("gpu")
    assert expected.items() <= os.environ.items()
    assert (hardware.machine_name("gpu"), hardware.describe("gpu")) == (name, facts)
    (note,) = gpus.notices("gpu")
    assert "one GPU of 2 is used, Tesla T4" in note


def test_the_variable_sets_no_two_machines_apart_and_no_uuid_is_told() -> None:
    for told in ({gpus.VISIBLE: UUID}, {gpus.VISIBLE: "GPU-8932f937"}, {gpus.VISIBLE: "MIG-5f1a7c52"}):
        (value,) = environment.told(told).values()
        assert value.startswith("(withheld, SHA-256 ")
    for name in (gpus.VISIBLE, gpus.ORDER, "NVIDIA_VISIBLE_DEVICES"):
        assert environment.decisive({name: "1"}, "gpu") == {}


def test_other_processes_are_counted_as_the_first_question_found_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    see(monkeypatch, tmp_path, FakeGpu(pids=(os.getpid(), 7, 8)))
    assert hardware.other_processes("gpu") == {"gpu_processes": 2}
    assert hardware.other_processes("cpu") == {}


def cards(count: int) -> tuple[Card, ...]:
    uuids = [f"GPU-{number}a{number}{number}" for number in range(count)]
    return tuple(Card(uuid, (Gpu(uuid, uuid),)) for uuid in uuids)


@given(st.integers(0, 4), st.lists(st.integers(-2, 5), max_size=5))
def test_indices_show_those_before_the_first_that_is_none(count: int, indices: list[int]) -> None:
    known = cards(count)
    valid = [index for index in indices if 0 <= index < count]
    before = next((at for at, index in enumerate(indices) if index not in range(count)), len(indices))
    shown = gpus.visible(",".join(map(str, indices)), known)
    first = valid[:before]
    assert [gpu.uuid for gpu in shown] == ([known[at].uuid for at in first] if len(set(first)) == len(first) else [])


@given(st.text(st.sampled_from("0123,-+ GPUMIG-a"), max_size=20))
def test_whatever_the_variable_holds_gpus_are_shown_once_or_not_at_all(value: str) -> None:
    known = cards(3)
    shown = gpus.visible(value, known)
    assert len(set(shown)) == len(shown)
    assert set(shown) <= {card.parts[0] for card in known}
    assert gpus.visible(None, known) == tuple(card.parts[0] for card in known)


def run(folder: Path, *arguments: str, listed: tuple[FakeGpu, ...] = BOTH, init: int = 0, **variables: str) -> str:
    """The words of a command that sees these GPUs, and its exit code at their end."""
    named = {**os.environ, "COLUMNS": "200", **fake_nvml.variables(folder, *listed, init=init), **variables}
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, env=named, check=False)
    return f"{done.stdout}{done.stderr}exit code {done.returncode}"


def test_doctor_names_the_gpu_that_computes(tmp_path: Path) -> None:
    said = run(tmp_path, "bcdl.doctor", CUDA_VISIBLE_DEVICES="1")
    assert "note: one GPU of 2 is used, Tesla T4: the first that CUDA_VISIBLE_DEVICES names" in said
    assert "tesla-t4-x1-" in said
    assert H100 not in said
    assert T4.uuid not in said
    assert said.endswith("exit code 0")


@pytest.mark.parametrize(
    ("arguments", "listed", "init"),
    [
        (("bcdl.doctor",), (), fake_nvml.NO_PERMISSION),
        (("bcdl.doctor",), (), 0),
        (("bcdl.parity", "--models", "cnn"), (), 0),
    ],
)
def test_a_gpu_that_is_asked_for_and_not_there_is_an_error_of_one_line(
    tmp_path: Path, arguments: tuple[str, ...], listed: tuple[FakeGpu, ...], init: int
) -> None:
    said = run(tmp_path, *arguments, "--device", "gpu", listed=listed, init=init)
    *before, error, code = said.splitlines()
    assert (before, code) == ([], "exit code 2")
    assert error.startswith("error: --device gpu: the NVIDIA driver ")


@pytest.mark.keras
@pytest.mark.any_backend
def test_a_run_is_of_the_gpu_that_cuda_shows(tmp_path: Path) -> None:
    """The framework here finds none: its record and folder name the GPU that was to compute all the same."""
    arguments = ("--model", "cnn", "--profile", "smoke", "--device", "gpu", "--results", str(tmp_path / "results"))
    said = run(tmp_path, "bcdl.train", *arguments, CUDA_VISIBLE_DEVICES="1")
    assert "note: one GPU of 2 is used, Tesla T4: the first that CUDA_VISIBLE_DEVICES names" in said
    *_, error, code = said.splitlines()
    assert (error.startswith("error: failed: "), code) == (True, "exit code 1")
    (folder,) = (tmp_path / "results" / "records").iterdir()
    assert folder.name.startswith("tesla-t4-x1-")
    (log,) = folder.glob("*.jsonl")
    environment = json.loads(log.read_text(encoding="utf-8"))["environment"]
    assert (environment["gpus"], environment["gpu"]["present"]) == (["Tesla T4"], 2)
    assert T4.uuid not in log.read_text(encoding="utf-8")


def test_without_permission_doctor_says_so_and_describes_the_cpu(tmp_path: Path) -> None:
    said = run(tmp_path, "bcdl.doctor", init=fake_nvml.NO_PERMISSION)
    assert "note: no GPU is used: the NVIDIA driver can't be asked for its GPUs" in said
    assert "-cores-" in said
    assert said.endswith("exit code 0")


def test_a_variable_that_names_no_gpu_is_an_error(tmp_path: Path) -> None:
    said = run(tmp_path, "bcdl.doctor", CUDA_VISIBLE_DEVICES="5")
    assert said == (
        "error: --device gpu: CUDA_VISIBLE_DEVICES='5' names no GPU of this machine; use 0 to 1, or a UUID as "
        "nvidia-smi -L prints it; or use --device cpu\nexit code 2"
    )
    assert run(tmp_path, "bcdl.doctor", "--device", "cpu", CUDA_VISIBLE_DEVICES="5").endswith("exit code 0")
