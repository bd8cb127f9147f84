"""A stand-in for NVML, compiled from C, which the real pynvml loads: any GPUs on a machine that has none.

For a command, `variables` are its environment; in this process, `loaded` puts the stand-in in NVML's place. Frameworks
do not ask NVML, and go on seeing no GPU.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from bcdl.machine import gpus

SOURCE = Path(__file__).with_suffix(".c")
H100 = "NVIDIA H100 80GB HBM3"
# Results of NVML, as `init` takes them.
NO_PERMISSION, DRIVER_NOT_LOADED, UNKNOWN_ERROR = 4, 9, 999
# Bits of the reasons for which a GPU is held back.
POWER_CAP, HARDWARE_SLOWDOWN, THERMAL_SLOWDOWN = 0x4, 0x8, 0x20


@dataclasses.dataclass(frozen=True)
class Slice:
    """A MIG instance of a GPU."""

    uuid: str = "MIG-5f1a7c52-9b1e-5e07-8c62-3a1f6f0d7b11"
    name: str = f"{H100} MIG 1g.10gb"
    memory_mib: int = 9984


@dataclasses.dataclass(frozen=True)
class FakeGpu:
    """A GPU; what is -1 it does not report.

    Attributes:
        bus: PCI address, by which CUDA orders the GPUs if CUDA_DEVICE_ORDER is PCI_BUS_ID.
        ecc, mig: 1 if on.
        watts: the power that it draws at all times.
        step_ms: its counter of energy moves every so many milliseconds.
        energy: how the counter moves: `steps`, `still`, `backwards`; `none` if there is no counter.
        reasons: bits of why it is throttled, in `throttled_percent` of the time.
        held_back_percent: of the time, for which it counts that its temperature held it back.
        pids: processes that compute on it.
    """

    uuid: str = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
    name: str = H100
    bus: str = "00000000:17:00.0"
    memory_mib: int = 81559
    capability: str = "9.0"
    ecc: int = 1
    mig: int = 0
    power_limit_w: int = 700
    watts: int = 400
    step_ms: int = 20
    energy: str = "steps"
    reasons: int = 0
    throttled_percent: int = 0
    held_back_percent: int = 0
    sm_clock_mhz: int = 1980
    temperature_c: int = 45
    pcie_generation: int = 5
    pcie_width: int = 16
    pids: Sequence[int] = ()
    slices: Sequence[Slice] = ()


T4 = FakeGpu(
    "GPU-11111111-aaaa-4106-c12f-20bd9faed9f6", "Tesla T4", "00000000:65:00.0", 15360, "7.5", mig=-1, power_limit_w=70
)
SLICED = FakeGpu(mig=1, slices=(Slice(),))


def variables(folder: Path, *listed: FakeGpu, init: int = 0) -> dict[str, str]:
    """The environment variables with which a command sees these GPUs; their files are put into `folder`.

    Args:
        folder: an existing folder.
        listed: the GPUs, in the order in which NVML lists them; none if a driver hides them.
        init: the result of NVML's initialisation, 0 if it succeeds.
    """
    shutil.copy(_compiled(), folder / "libnvidia-ml.so.1")
    file = folder / "gpus.txt"
    file.write_text(_text(listed, init), encoding="ascii")
    path = [str(folder), os.environ.get("LD_LIBRARY_PATH")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, path)), "FAKE_NVML": str(file)}


def loaded(monkeypatch: pytest.MonkeyPatch, folder: Path, *listed: FakeGpu, init: int = 0) -> None:
    """Let this process see these GPUs, all of them visible, until the test ends."""
    import pynvml

    monkeypatch.setenv("FAKE_NVML", variables(folder, *listed, init=init)["FAKE_NVML"])
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(_compiled())))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    for variable in (gpus.VISIBLE, gpus.ORDER):
        monkeypatch.delenv(variable, raising=False)
    for name in ("found", "other_processes"):  # what was read before is of other GPUs
        monkeypatch.setattr(gpus, name, functools.cache(getattr(gpus, name).__wrapped__))


@functools.cache
def _compiled() -> Path:
    """The library, compiled once; the test is skipped if there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc), so that the stand-in for NVML can't be built")
    library = Path(tempfile.mkdtemp(prefix="bcdl-fake-nvml-")) / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library


def _text(listed: Sequence[FakeGpu], init: int) -> str:
    """The file that the stand-in reads."""
    lines = [f"init {init}", "driver 580.65.06", "cuda 13000"]
    for gpu in listed:
        lines += ["gpu", *_lines(gpu, "pids", "slices"), *(f"pid {pid}" for pid in gpu.pids)]
        for piece in gpu.slices:
            lines += ["slice", *_lines(piece)]
    return "\n".join(lines) + "\n"


def _lines(device: FakeGpu | Slice, *without: str) -> list[str]:
    fields = (field.name for field in dataclasses.fields(device) if field.name not in without)
    return [f"{name} {getattr(device, name)}" for name in fields]
