"""What this machine is, and what runs on it: made from the hardware, never from a host name."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cpuinfo
import psutil

from bcdl import __version__

ROOT = Path(__file__).resolve().parent.parent
# Everything that can influence a number.
PACKAGES = (
    "keras",
    "jax",
    "jaxlib",
    "tensorflow",
    "tensorflow-cpu",
    "torch",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "scikit-learn",
)


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is installed, by its files and tools alone."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def default_device() -> str:
    """`gpu` where there is an NVIDIA driver, else `cpu`."""
    return "gpu" if has_nvidia_driver() else "cpu"


def machine_name(device: str) -> str:
    """A folder name for the hardware that computes: the processor, or the GPUs, and how many."""
    if device == "gpu":
        gpus = gpu_names()
        label = f"{gpus[0]} x{len(gpus)}" if gpus else "unknown gpu"
    else:
        label = f"{cpu_name()} {psutil.cpu_count()} cores"
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


@functools.cache
def cpu_name() -> str:
    """The processor's name as it gives it, without trademark signs."""
    brand = str(cpuinfo.get_cpu_info().get("brand_raw") or platform.processor() or platform.machine())
    return re.sub(r"\((R|TM)\)|CPU|@.*", " ", brand, flags=re.IGNORECASE).strip()


@functools.cache
def gpu_names() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that the driver lists."""
    lines = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return tuple(lines.splitlines()) if lines else ()


def lacks(device: str, precision: str) -> str:
    """Why this machine has no arithmetic of its own for `precision`; empty where it has."""
    if precision == "float32":
        return ""
    if device == "gpu":
        capability = _output("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader") or "0"
        old = float(capability.splitlines()[0]) < 8
        return "NVIDIA GPUs have it from compute capability 8.0 on" if old else ""
    if precision == "tf32":
        return "TF32 is arithmetic of NVIDIA GPUs"
    bfloat16 = {"avx512_bf16", "amx_bf16"} & set(cpuinfo.get_cpu_info().get("flags", []))
    return "" if bfloat16 else "this processor lacks bfloat16 arithmetic (avx512_bf16 or amx_bf16)"


def describe(device: str) -> dict[str, Any]:
    """Hardware, operating system, driver and versions, as JSON values."""
    driver = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if device == "gpu" else None
    return {
        "cpu": cpu_name(),
        "cpu_cores": psutil.cpu_count(),
        "cpu_cores_allowed": cores_allowed(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "gpus": list(gpu_names()) if device == "gpu" else [],
        "driver": driver.splitlines()[0] if driver else None,
        "system": platform.system(),
        "system_release": platform.release().split("-")[0],
        "python": platform.python_version(),
        "versions": versions(),
    }


def cores_allowed() -> int | None:
    """How many cores this process and its children may use; None where the system does not tell."""
    process = psutil.Process()
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else None


def versions() -> dict[str, str]:
    """Versions of the packages that can influence a number, where they are installed."""
    installed = {"bcdl": __version__}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def sha256(file: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def memory_bytes() -> int:
    """The memory that this process and its children may use: the machine's, or less where a container is given less."""
    total = psutil.virtual_memory().total
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such control group, or it says `max`
        return total


def commit() -> dict[str, Any]:
    """The source's git commit and whether its tracked files, results aside, differ from it; None where unknown."""
    revision = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return {"commit": revision, "dirty": bool(changes) if revision and changes is not None else None}


def _output(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
