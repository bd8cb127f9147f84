"""What this machine is: processor, GPUs, memory and system, never a host name."""

from __future__ import annotations

import functools
import math
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from bcdl.machine import cgroups, environment, gpus
from bcdl.machine import identity as machine_identity
from bcdl.machine.provenance import versions

MIB = 2**20  # bytes


def default_device() -> str:
    """`gpu` if there is an NVIDIA GPU and CUDA_VISIBLE_DEVICES does not hide it, else `cpu`."""
    return "gpu" if gpus.are_asked_for() else "cpu"


def machine_name(device: str) -> str:
    """A folder name for the machine: the processor and the cores allowed, or the GPU that computes; its identity.

    Two machines of one name agree in all that `bcdl.machine.identity` states.
    """
    facts = identity(device)
    if device == "gpu":
        gpu = gpus.computing()
        label = f"{gpu.name} x1" if gpu else "unknown gpu"
    else:
        cores = facts["cores_allowed"]
        label = f"{cpu_name()} {'unknown' if cores is None else f'{cores:g}'} cores"
    return _as_folder(f"{label} {facts['digest']}")


def is_name_of(machine: str, facts: Mapping[str, Any]) -> bool:
    """Whether a machine with these facts, as `describe` gives them, has that name, as far as they say."""
    if digest := facts.get("identity", {}).get("digest"):
        return machine.endswith(f"-{digest}")
    labels = [*facts.get("gpus", ()), facts.get("cpu", "")]
    return any(label and machine.startswith(_as_folder(label)) for label in labels)


def is_of_another_machine(machine: str, facts: Mapping[str, Any]) -> bool:
    """Whether the facts say for certain that they are of another machine than the one of that name."""
    return bool(facts.get("identity", {}).get("digest")) and not is_name_of(machine, facts)


def _as_folder(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def identity(device: str) -> dict[str, Any]:
    """The identity of this machine as one that computes on `device`, as JSON values."""
    facts = [gpus.identity_facts(gpu) for gpu in _computing(device)]
    return machine_identity.of_machine(cores_allowed(), cpus_allowed(), facts)


def _computing(device: str) -> list[gpus.Gpu]:
    """The GPU that computes, if one does and NVML knows it."""
    gpu = gpus.computing() if device == "gpu" else None
    return [gpu] if gpu else []


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
    """That of the GPU that computes; 0 if its driver does not report it."""
    gpu = gpus.computing()
    return float(gpu.compute_capability) if gpu and gpu.compute_capability != gpus.UNKNOWN else 0.0


def describe(device: str) -> dict[str, Any]:
    """Hardware, operating system, driver, variables and versions, as JSON values that stay as long as the machine."""
    computing = _computing(device)
    return {
        "identity": identity(device),
        "cpu": cpu_name(),
        "cpu_cores": psutil.cpu_count(),
        "cpu_cores_allowed": cores_allowed(),
        "cpu_quota_cores": cgroups.cpu_quota_cores(),
        "hypervisor": machine_identity.is_virtual(),
        "memory_mib": psutil.virtual_memory().total // MIB,
        "gpus": [gpu.name for gpu in computing],
        "gpu_uuids": [gpus.digest(gpu) for gpu in computing],
        "driver": gpus.found().driver if device == "gpu" else None,
        **({"gpu": gpus.describe(computing[0])} if computing else {}),
        "system": platform.system(),
        "system_release": platform.release().split("-")[0],
        "python": platform.python_version(),
        "versions": versions(),
        "variables": environment.variables(),
    }


def other_processes(device: str) -> dict[str, int]:
    """How many other processes computed on the GPU as this one began, as a JSON value; nothing if that is not known."""
    others = gpus.other_processes() if device == "gpu" else None
    return {} if others is None else {"gpu_processes": others}


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


def threads_worth_starting() -> int:
    """As many threads as compute at once: the cores that this process may use, rounded up."""
    return math.ceil(cores_allowed() or os.cpu_count() or 1)


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
