"""The NVIDIA GPUs of this machine, read through NVML, and the one of them that computes.

CUDA numbers GPUs by their speed unless CUDA_DEVICE_ORDER is PCI_BUS_ID, NVML has an order of its own, and
CUDA_VISIBLE_DEVICES hides GPUs from CUDA alone. So a GPU is known by its UUID here, in all that is said of it, and a
process that measures sees that GPU and no other.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bcdl.errors import UsageError
from bcdl.machine.nvml import Handle, Nvml, NvmlError, opened, opened_gpu

UNKNOWN = "unknown"
VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_MIB = 2**20  # bytes
_DRIVER = Path("/proc/driver/nvidia/version")
_LONG = 10  # digits of a number that is no GPU's
_HIDING = re.compile(r"\s*(-.*)?")  # values by which a user hides all GPUs


@dataclasses.dataclass(frozen=True)
class Gpu:
    """What computes: a GPU, or a MIG instance of one. What its driver does not report is None, or `unknown`.

    Attributes:
        uuid: its UUID, which stands in no record in clear.
        card: that of the GPU that it is, or is an instance of.
        bus: PCI address of the card, by which CUDA orders cards if it is told to.
        name: its name; that of an instance says which part of the card it is.
        memory_mib: all of its memory, MiB.
        compute_capability: version of its architecture, as `9.0`.
        mig: whether the card is divided: `Enabled`, `Disabled`, or `not supported`.
        power_limit_w: the most that the card may draw as it is set, watts.
        ecc: whether its memory corrects errors, which takes a part of the bandwidth of some cards.
        pcie_generation, pcie_width: the most of which the card and the machine are capable together.
    """

    uuid: str
    card: str
    bus: str = ""
    name: str = UNKNOWN
    memory_mib: int | None = None
    compute_capability: str = UNKNOWN
    mig: str = "not supported"
    power_limit_w: float | None = None
    ecc: bool | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None

    @property
    def is_instance(self) -> bool:
        """Whether it is a MIG instance, whose card others may use at the same time."""
        return self.uuid != self.card


@dataclasses.dataclass(frozen=True)
class Card:
    """A GPU as a board, and what of it can compute: itself, or its MIG instances, of which there may be none."""

    uuid: str
    parts: tuple[Gpu, ...]


@dataclasses.dataclass(frozen=True)
class Found:
    """What NVML says of this machine.

    Attributes:
        cards: in the order of their PCI addresses.
        driver: version of the driver; None if there is none.
        cuda: the newest version of CUDA that the driver supports; None if it does not say.
        fault: why NVML could not be asked though there is a driver; empty if there is none, or NVML was asked.
    """

    cards: tuple[Card, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    fault: str = ""


@functools.cache
def found() -> Found:
    """What NVML says, read once a process."""
    try:
        with opened() as nvml:
            return _read(nvml)
    except NvmlError as error:
        return Found(fault=str(error) if error.driver or _DRIVER.exists() else "")


def computing() -> Gpu | None:
    """The GPU that computes for this process and its workers: the first that CUDA shows; None if it shows none."""
    return next(iter(visible(os.environ.get(VISIBLE), found().cards)), None)


def visible(variable: str | None, cards: Sequence[Card]) -> tuple[Gpu, ...]:
    """The GPUs that CUDA shows to a process, in its order.

    The rules are those of the CUDA programming guide, section CUDA environment variables: an index in the order of the
    cards, a UUID or a prefix of one that is no other's, and nothing after an entry that is invalid. What it leaves open
    is as PyTorch has found it (torch/cuda/__init__.py, `_parse_visible_devices`): a number ends where its digits do,
    and a GPU that is named twice hides all. A card that is divided shows its first instance alone, unless another is
    named (MIG user guide, CUDA device enumeration).

    Args:
        variable: the value of CUDA_VISIBLE_DEVICES; None if it is not set.
        cards: those of the machine, in the order of their PCI addresses.
    """
    if variable is None:
        return tuple(card.parts[0] for card in cards if card.parts)
    shown: list[Gpu] = []
    for entry in variable.split(","):
        gpu = _named(entry.strip(), cards)
        if gpu is None:
            break
        if gpu in shown:
            return ()
        shown.append(gpu)
    return tuple(shown)


def _named(entry: str, cards: Sequence[Card]) -> Gpu | None:
    """What an entry of CUDA_VISIBLE_DEVICES names; None if that is nothing, or not one thing."""
    if number := re.match(r"\+?0*([0-9]+)", entry):
        index = int(number[1]) if len(number[1]) < _LONG else len(cards)
        matching = [card.parts[:1] for card in cards[index:][:1]]
    elif entry.startswith("GPU-"):
        matching = [card.parts[:1] for card in cards if card.uuid.startswith(entry)]
    elif entry.startswith("MIG-"):
        matching = [(gpu,) for card in cards for gpu in card.parts if gpu.uuid.startswith(entry)]
    else:
        matching = []
    return next(iter(matching[0]), None) if len(matching) == 1 else None


def variables() -> dict[str, str]:
    """The variables by which a process sees the GPU that computes, and no other; none if no GPU does.

    A GPU that has no UUID can't be named to CUDA: others are then left visible.
    """
    gpu = computing()
    named = {VISIBLE: gpu.uuid} if gpu and gpu.uuid != UNKNOWN else {}
    return {ORDER: "PCI_BUS_ID", **named} if gpu else {}


def are_asked_for() -> bool:
    """Whether a GPU is to compute if nothing else is said: CUDA shows one.

    So it is, too, if CUDA_VISIBLE_DEVICES names a GPU and there is none of that name: `check` then says so.
    """
    is_named = VISIBLE in os.environ and not _is_hidden()
    return computing() is not None or (is_named and bool(found().cards))


def check(device: str) -> None:
    """UsageError if `device` is `gpu` and NVIDIA's driver, which is there, gives this process none.

    Without a driver the framework is asked, which may know GPUs of other kinds.
    """
    if device == "gpu" and (why := _why_none()):
        raise UsageError(f"--device gpu: {why}; or use --device cpu")


def notices(device: str) -> list[str]:
    """What a person should know of the GPUs before cells run on `device`, in lines."""
    gpu, cards = computing(), found().cards
    if device == "gpu" and gpu and len(cards) > 1:
        reason = f"the first that {VISIBLE} names" if VISIBLE in os.environ else "the first by PCI address"
        return [f"note: one GPU of {len(cards)} is used, {gpu.name}: {reason}; the others are hidden from the workers"]
    if device == "gpu" or _is_hidden():
        return []
    why = _why_none()
    return [f"note: no GPU is used: {why}"] if why else []


def _why_none() -> str:
    """Why the driver gives this process no GPU, and what to do; empty if it gives one, or there is no driver."""
    known, value = found(), os.environ.get(VISIBLE)
    count = len(known.cards)
    if known.fault:
        return f"the NVIDIA driver can't be asked for its GPUs ({known.fault})"
    if known.driver is None or computing():
        return ""
    if not count:
        return "the NVIDIA driver shows this process no GPU; give the container or the job one"
    if _is_hidden():
        return f"{VISIBLE}={value!r} hides the GPU{'s' * (count > 1)} of this machine; unset it"
    if value is None or not any(card.parts for card in known.cards):
        return "MIG is on and no instance was made; make one (nvidia-smi mig -cgi), or turn MIG off"
    last = f"0 to {count - 1}" if count > 1 else "0"
    return f"{VISIBLE}={value!r} names no GPU of this machine; use {last}, or a UUID as nvidia-smi -L prints it"


def _is_hidden() -> bool:
    """Whether CUDA_VISIBLE_DEVICES was set so that it hides every GPU."""
    value = os.environ.get(VISIBLE)
    return value is not None and bool(_HIDING.fullmatch(value))


def identity_facts(gpu: Gpu) -> dict[str, str]:
    """What of the GPU makes a machine this one: name, memory, compute capability and MIG mode."""
    memory = UNKNOWN if gpu.memory_mib is None else str(gpu.memory_mib)
    return {
        "name": gpu.name,
        "memory_mib": memory,
        "compute_capability": gpu.compute_capability,
        "mig_mode": gpu.mig,
    }


def describe(gpu: Gpu) -> dict[str, Any]:
    """What a record says of the GPU that computes, as `shapes.GpuFacts` names it; what is not reported is absent."""
    facts = {
        "memory_mib": gpu.memory_mib,
        "power_limit_w": gpu.power_limit_w,
        "ecc": gpu.ecc,
        "mig": gpu.mig,
        "cuda_driver": found().cuda,
        "pcie_generation": gpu.pcie_generation,
        "pcie_width": gpu.pcie_width,
        "present": len(found().cards),
    }
    return {name: value for name, value in facts.items() if value is not None}


def digest(gpu: Gpu) -> str:
    """A digest of the UUID: two equal cards are told apart by it, and neither can be traced."""
    return hashlib.sha256(gpu.uuid.encode()).hexdigest()[:8]


@functools.cache
def other_processes() -> int | None:
    """How many processes computed on the GPU when this was first asked; None if the driver does not say.

    A process that measures asks before it computes: in a container it could not tell its own from the others later.
    """
    gpu = computing()
    if gpu is None:
        return None
    with opened_gpu(gpu.uuid) as handle:
        if handle is None:
            return None
        kinds = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3")
        lists = [processes for kind in kinds if (processes := handle.ask(kind)) is not None]
        pids = {process.pid for processes in lists for process in processes}
        return len(pids - {os.getpid()}) if lists else None


def _read(nvml: Nvml) -> Found:
    handles = (nvml.ask("nvmlDeviceGetHandleByIndex", index) for index in range(nvml.ask("nvmlDeviceGetCount") or 0))
    wholes = [_whole(Handle(nvml, handle)) for handle in handles if handle is not None]
    cuda = nvml.ask("nvmlSystemGetCudaDriverVersion_v2")
    return Found(
        cards=tuple(_card(gpu, handle) for gpu, handle in sorted(wholes, key=lambda whole: whole[0].bus)),
        driver=nvml.ask("nvmlSystemGetDriverVersion") or UNKNOWN,
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
    )


def _whole(handle: Handle) -> tuple[Gpu, Handle]:
    """A card as a GPU, whether it is divided or not."""
    uuid = handle.ask("nvmlDeviceGetUUID") or UNKNOWN
    pci = handle.ask("nvmlDeviceGetPciInfo")
    capability = handle.ask("nvmlDeviceGetCudaComputeCapability")
    mig, ecc = handle.ask("nvmlDeviceGetMigMode"), handle.ask("nvmlDeviceGetEccMode")
    limit = handle.ask("nvmlDeviceGetEnforcedPowerLimit")
    gpu = Gpu(
        uuid=uuid,
        card=uuid,
        bus=str(pci.busId).upper() if pci else "",
        name=handle.ask("nvmlDeviceGetName") or UNKNOWN,
        memory_mib=_memory_mib(handle),
        compute_capability=".".join(map(str, capability)) if capability else UNKNOWN,
        mig="not supported" if mig is None else ("Enabled" if mig[0] else "Disabled"),
        power_limit_w=None if limit is None else limit / 1e3,
        ecc=None if ecc is None else bool(ecc[0]),
        pcie_generation=handle.ask("nvmlDeviceGetMaxPcieLinkGeneration"),
        pcie_width=handle.ask("nvmlDeviceGetMaxPcieLinkWidth"),
    )
    return gpu, handle


def _card(gpu: Gpu, handle: Handle) -> Card:
    return Card(gpu.uuid, tuple(_instances(gpu, handle)) if gpu.mig == "Enabled" else (gpu,))


def _instances(gpu: Gpu, card: Handle) -> Iterator[Gpu]:
    """The MIG instances of a card; what NVML knows of the whole card alone is the card's."""
    for index in range(card.ask("nvmlDeviceGetMaxMigDeviceCount") or 0):
        found_there = card.ask("nvmlDeviceGetMigDeviceHandleByIndex", index)
        handle = Handle(card.nvml, found_there)
        if found_there is not None and (uuid := handle.ask("nvmlDeviceGetUUID")):
            name = handle.ask("nvmlDeviceGetName") or UNKNOWN
            yield dataclasses.replace(gpu, uuid=uuid, name=name, memory_mib=_memory_mib(handle))


def _memory_mib(handle: Handle) -> int | None:
    memory = handle.ask("nvmlDeviceGetMemoryInfo")
    return None if memory is None else int(memory.total) // _MIB
