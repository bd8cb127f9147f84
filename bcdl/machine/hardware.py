"""What this machine is: processor, GPUs, memory and system, never a host name."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

import psutil

from bcdl.machine import cgroups, environment
from bcdl.machine import identity as machine_identity
from bcdl.machine.provenance import output, versions

MIB = 2**20  # bytes


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is installed, by its files and tools alone."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def default_device() -> str:
    """`gpu` if there is an NVIDIA driver, else `cpu`."""
    return "gpu" if has_nvidia_driver() else "cpu"


def machine_name(device: str) -> str:
    """A folder name for the machine: the processor and the cores allowed, or the GPUs and their number; its identity.

    Two machines of one name agree in all that `bcdl.machine.identity` states.
    """
    facts = identity(device)
    if device == "gpu":
        gpus = gpu_names()
        label = f"{gpus[0]} x{len(gpus)}" if gpus else "unknown gpu"
    else:
        cores = facts["cores_allowed"]
        label = f"{cpu_name()} {'unknown' if cores is None else f'{cores:g}'} cores"
    return re.sub(r"[^a-z0-9]+", "-", f"{label} {facts['digest']}".lower()).strip("-")


def identity(device: str) -> dict[str, Any]:
    """The identity of this machine as one that computes on `device`, as JSON values."""
    gpus = gpu_names() if device == "gpu" else ()
    return machine_identity.of_machine(cores_allowed(), cpus_allowed(), gpus)


@functools.cache
def cpu_name() -> str:
    """The name that the processor reports, without trademark signs and clock rate."""
    brand = str(machine_identity.reported().get("brand_raw") or platform.processor() or platform.machine())
    return re.sub(r"\((R|TM)\)|CPU|@.*", " ", brand, flags=re.IGNORECASE).strip()


@functools.cache
def instructions() -> tuple[str, ...]:
    """Family, model and stepping of the processor, and the sets of instructions that it has."""
    facts = machine_identity.reported()
    return (*(str(facts.get(name)) for name in ("family", "model", "stepping")), *sorted(facts.get("flags", ())))


@functools.cache
def gpu_names() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that the driver lists; empty if there is no driver."""
    lines = output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return tuple(lines.splitlines()) if lines else ()


def lacks(device: str, precision: str) -> str:
    """Why this machine has no arithmetic of its own for `precision`; empty if it has."""
    if precision == "float32":
        return ""
    if device == "gpu":
        return "" if _compute_capability() >= 8 else "NVIDIA GPUs have it from compute capability 8.0 on"
    if precision == "tf32":
        return "TF32 is arithmetic of NVIDIA GPUs"
    bfloat16 = {"avx512_bf16", "amx_bf16"} & set(machine_identity.reported().get("flags", []))
    return "" if bfloat16 else "this processor lacks bfloat16 arithmetic (avx512_bf16 or amx_bf16)"


def _compute_capability() -> float:
    """That of the first NVIDIA GPU; 0 if the driver does not report it."""
    capability = output("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
    try:
        return float(capability.splitlines()[0]) if capability else 0.0
    except ValueError:  # nvidia-smi writes [N/A] for what it can't read
        return 0.0


def describe(device: str) -> dict[str, Any]:
    """Hardware, operating system, driver, variables and versions, as JSON values that stay as long as the machine."""
    driver = output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if device == "gpu" else None
    return {
        "identity": identity(device),
        "cpu": cpu_name(),
        "cpu_cores": psutil.cpu_count(),
        "cpu_cores_allowed": cores_allowed(),
        "cpu_quota_cores": cgroups.cpu_quota_cores(),
        "hypervisor": machine_identity.is_virtual(),
        "memory_mib": psutil.virtual_memory().total // MIB,
        "gpus": list(gpu_names()) if device == "gpu" else [],
        "gpu_uuids": machine_identity.gpu_uuids() if device == "gpu" else [],
        "driver": driver.splitlines()[0] if driver else None,
        "system": platform.system(),
        "system_release": platform.release().split("-")[0],
        "python": platform.python_version(),
        "versions": versions(),
        "variables": environment.variables(),
    }


def clock_mhz() -> float | None:
    """The highest clock of the processors that may be used, MHz, at this moment; None if the system does not say."""
    return machine_identity.clock_mhz(cpus_allowed())


def cores_allowed() -> float | None:
    """How many cores this process and its children may use: its affinity, or less if a container's quota is less.

    A whole number is an int, so that a quota of 2 and two processors are one fact; None if the system does not say.
    """
    cpus = cpus_allowed()
    cores = None if cpus is None else len(cpus)
    least = min(filter(None, (cores, cgroups.cpu_quota_cores())), default=None)
    return int(least) if least is not None and least == int(least) else least


def cpus_allowed() -> list[int] | None:
    """Numbers of the processors to which this process is restricted; None if the system does not say."""
    process = psutil.Process()
    return process.cpu_affinity() if hasattr(process, "cpu_affinity") else None


def memory_bytes() -> int:
    """The memory that this process and its children may use, bytes: the machine's, or less if a container has less."""
    total: int = psutil.virtual_memory().total
    return min(total, cgroups.memory_bytes() or total)


def peak_rss_bytes() -> int:
    """Peak resident memory of this process, bytes.

    On Linux it is `VmHWM`, since `ru_maxrss` inherits the parent's peak across a fork.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    memory = psutil.Process().memory_info()
    if os.name == "nt":
        return int(memory.peak_wset)  # type: ignore[attr-defined]
    import resource  # only on Unix

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
