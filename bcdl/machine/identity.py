"""What makes a machine this one: the facts that its rates hang on, and a digest of them for its name.

A brand says too little: a virtual machine calls a processor with AVX-512 and bfloat16 and one without both "AMD EPYC".
Clock, kernel and hypervisor are no part of the identity, since they change on one machine; a record has them beside it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

# The sets of instructions among which numeric libraries choose their kernels when they start (oneDNN, OpenBLAS, Eigen,
# XNNPACK, NumPy, Arm Compute Library), by Linux's names. Others, as those for cryptography or virtual machines, change
# no figure here, and whether one is listed may depend on the kernel alone.
INSTRUCTION_SETS = (
    *("sse4_1", "sse4_2", "f16c", "fma", "avx", "avx2", "avx_vnni", "avx_ifma", "avx_vnni_int8", "avx_ne_convert"),
    *("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512ifma", "avx512vbmi", "avx512_vbmi2"),
    *("avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq", "avx512_bf16", "avx512_fp16", "avx10"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("neon", "asimd", "asimdhp", "asimddp", "asimdfhm", "bf16", "i8mm", "sve", "sve2", "svebf16", "svei8mm"),
    *("sme", "sme2"),
)
UNKNOWN = "unknown"
_ROOT = Path("/")
# The names that Linux gives each fact, on x86 and on ARM.
_NAMES = {
    "vendor": ("vendor_id", "CPU implementer"),
    "family": ("cpu family", "CPU architecture"),
    "model": ("model", "CPU part"),
    "stepping": ("stepping", "CPU variant", "CPU revision"),
}


def of_machine(
    cores: float | None, cpus: Collection[int] | None, gpus: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """The identity of this machine, as JSON values.

    Args:
        cores: how many cores are allowed; None if the system does not say.
        cpus: numbers of the processors that may be used, all if None.
        gpus: facts of the GPU that computes; empty if none does.
    """
    return identity(_processor(cpus), cores, gpus)


def identity(processor: Mapping[str, Any], cores: float | None, gpus: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The facts with two digests: `hardware` of all but the cores allowed, and `digest` of all."""
    facts: dict[str, Any] = {**processor, **({"gpus": list(gpus)} if gpus else {})}
    whole = {**facts, "cores_allowed": cores}
    unknown = [name for name, value in whole.items() if value in (UNKNOWN, [], None)]
    unknown += ["gpus"] if any(UNKNOWN in gpu.values() for gpu in gpus) else []
    return {"digest": _digest(whole), "hardware": _digest(facts), **whole, "unknown": unknown}


def in_words(facts: Mapping[str, Any]) -> str | None:
    """The identity but for the cores allowed, short enough for a line: processor, GPUs, digest; None if not known."""
    if "hardware" not in facts:
        return None
    processor = (f"{name} {facts.get(name, UNKNOWN)}" for name in ("family", "model", "stepping"))
    gpus = [str(gpu.get("name", UNKNOWN)) for gpu in facts.get("gpus", ())]
    return f"{', '.join([str(facts.get('vendor', UNKNOWN)), *processor, *gpus])} ({facts['hardware']})"


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


@functools.cache
def reported() -> dict[str, Any]:
    """What the processor reports of itself; to ask takes a process of its own, and a second."""
    import cpuinfo  # here: whoever reads records alone does without

    facts: dict[str, Any] = cpuinfo.get_cpu_info()
    return facts


def _processor(cpus: Collection[int] | None) -> dict[str, Any]:
    if (_ROOT / "proc/cpuinfo").is_file():
        return processor_of_linux(_ROOT, cpus)
    facts = reported()
    names = {"vendor": "vendor_id_raw", "family": "family", "model": "model", "stepping": "stepping"}
    return {
        **{fact: str(facts.get(name) or UNKNOWN) for fact, name in names.items()},
        "instruction_sets": _chosen(facts.get("flags", ())),
        "l2_kib": _kib(facts.get("l2_cache_size")),
        "l3_kib": _kib(facts.get("l3_cache_size")),
    }


def processor_of_linux(root: Path = _ROOT, cpus: Collection[int] | None = None) -> dict[str, Any]:
    """What Linux says of the processors that may be used: facts, instruction sets that all have, sizes of caches, KiB.

    A fact has several values, separated by commas, if the processors differ, as large and small cores do; `unknown` or
    an empty list if Linux does not say. A cache's size is that of one instance.

    Args:
        root: the top of the file system.
        cpus: numbers of the processors that may be used, all if None.
    """
    stanzas = _stanzas(_text(root / "proc/cpuinfo"), cpus)
    flags = [set((stanza.get("flags") or stanza.get("Features") or "").split()) for stanza in stanzas]
    return {
        **{fact: _values(stanzas, names) for fact, names in _NAMES.items()},
        "instruction_sets": _chosen(set.intersection(*flags) if flags else ()),
        "l2_kib": _cache_kib(root, cpus, "2"),
        "l3_kib": _cache_kib(root, cpus, "3"),
    }


def _stanzas(text: str, cpus: Collection[int] | None) -> list[dict[str, str]]:
    """The lines of each processor that may be used, by their names; those of all if none of them has its number."""
    stanzas = []
    for block in text.split("\n\n"):
        lines = (line.partition(":") for line in block.splitlines())
        stanzas.append({name.strip(): value.strip() for name, _, value in lines})
    of_processors = [stanza for stanza in stanzas if stanza.get("processor", "").isdecimal()]
    allowed = [stanza for stanza in of_processors if cpus is None or int(stanza["processor"]) in cpus]
    return allowed or of_processors or stanzas


def _values(stanzas: Sequence[Mapping[str, str]], names: Sequence[str]) -> str:
    return ", ".join(sorted({stanza[name] for stanza in stanzas for name in names if stanza.get(name)})) or UNKNOWN


def _chosen(flags: Collection[str]) -> list[str]:
    return [name for name in INSTRUCTION_SETS if name in flags]


def _cache_kib(root: Path, cpus: Collection[int] | None, level: str) -> list[int]:
    """The sizes of one instance of the cache of that level, KiB, smallest first: several if processors differ."""
    sizes = set()
    for index in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        number = index.parent.parent.name.removeprefix("cpu")
        is_allowed = cpus is None or (number.isdecimal() and int(number) in cpus)
        if is_allowed and _text(index / "level") == level and _text(index / "type") != "Instruction":
            size = _text(index / "size").removesuffix("K")
            sizes |= {int(size)} if size.isdecimal() else set()
    return sorted(sizes)


def _kib(size: object) -> list[int]:
    """A cache's size as py-cpuinfo has it, a number of bytes, in KiB; nothing if it is no number."""
    return [size // 1024] if isinstance(size, int) and size > 0 else []


def clock_mhz(cpus: Collection[int] | None, root: Path = _ROOT) -> float | None:
    """The highest clock of the processors that may be used, MHz, as Linux reports it at this moment; None if not."""
    clocks = [stanza.get("cpu MHz", "") for stanza in _stanzas(_text(root / "proc/cpuinfo"), cpus)]
    return max((float(clock) for clock in clocks if clock.replace(".", "", 1).isdecimal()), default=None)


def is_virtual(root: Path = _ROOT) -> bool | None:
    """Whether a hypervisor is there, as x86 processors say; None if nothing says so or otherwise."""
    flags = [stanza["flags"].split() for stanza in _stanzas(_text(root / "proc/cpuinfo"), None) if "flags" in stanza]
    return "hypervisor" in flags[0] if flags else None


def _text(file: Path) -> str:
    """What the file holds, without white space at its ends; empty if it can't be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
