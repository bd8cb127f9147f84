"""The identity: of which facts it is, that each of them counts, and that nothing else does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.machine import hardware, identity
from bcdl.records.checks import check_shape
from bcdl.records.experiment import Experiment
from bcdl.records.record import Record
from bcdl.records.shapes import Identity
from tests.factory import EXPERIMENT, record

STANZA = """\
processor\t: {number}
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
stepping\t: 1
cpu MHz\t\t: {mhz}
flags\t\t: fpu sse4_2 avx avx2 fma {flags}
"""
ARM = """\
processor\t: 0
Features\t: fp asimd sve bf16 i8mm
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd4f
CPU revision\t: 3
"""


def linux(root: Path, *stanzas: str, caches: dict[str, str] | None = None) -> Path:
    """The files of a machine with these processors, each with caches of these sizes by level."""
    cpuinfo = root / "proc" / "cpuinfo"
    cpuinfo.parent.mkdir(parents=True, exist_ok=True)
    cpuinfo.write_text("\n".join(stanzas), encoding="ascii")
    for number in range(len(stanzas)):
        for level, size in (caches or {}).items():
            folder = root / f"sys/devices/system/cpu/cpu{number}/cache/index{level}"
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in (("level", level), ("type", "Unified"), ("size", size)):
                (folder / name).write_text(text + "\n", encoding="ascii")
    return root


def epyc(number: int = 0, family: int = 25, model: int = 17, flags: str = "", mhz: str = "2596.1") -> str:
    return STANZA.format(number=number, family=family, model=model, flags=flags, mhz=mhz)


NEWER = {"family": 26, "model": 2, "flags": "avx512f avx512_bf16 avx_vnni hypervisor"}


def test_two_processors_of_one_brand_are_two(tmp_path: Path) -> None:
    """In a virtual machine both call themselves AMD EPYC."""
    older, newer = (
        identity.processor_of_linux(linux(tmp_path / name, epyc(**facts), caches={"2": "1024K", "3": "32768K"}))
        for name, facts in (("a", {}), ("b", NEWER))
    )
    assert (older["instruction_sets"], older["l2_kib"], older["l3_kib"]) == (
        ["sse4_2", "fma", "avx", "avx2"],
        [1024],
        [32768],
    )
    assert {"avx512_bf16", "avx_vnni"} <= set(newer["instruction_sets"])
    digests = [identity.identity(facts, 2, [])["digest"] for facts in (older, newer)]
    assert len(set(digests)) == 2


def test_clock_and_hypervisor_are_no_part_of_it(tmp_path: Path) -> None:
    states = (("1500.0", ""), ("3700.5", "hypervisor"))
    one, other = (linux(tmp_path / mhz, epyc(mhz=mhz, flags=flags)) for mhz, flags in states)
    assert identity.processor_of_linux(one) == identity.processor_of_linux(other)
    assert [identity.clock_mhz(None, root) for root in (one, other)] == [1500.0, 3700.5]
    assert [identity.is_virtual(root) for root in (one, other)] == [False, True]


def test_of_unlike_processors_those_count_that_may_be_used(tmp_path: Path) -> None:
    root = linux(tmp_path, epyc(0), epyc(1, **NEWER), caches={"2": "1024K"})
    (root / "sys/devices/system/cpu/cpu1/cache/index2/size").write_text("2048K\n", encoding="ascii")
    both, first = (identity.processor_of_linux(root, cpus) for cpus in (None, [0]))
    assert (both["family"], both["model"], both["l2_kib"]) == ("25, 26", "17, 2", [1024, 2048])
    assert "avx512f" not in both["instruction_sets"]
    assert (first["family"], first["l2_kib"]) == ("25", [1024])


def test_what_arm_calls_otherwise(tmp_path: Path) -> None:
    facts = identity.processor_of_linux(linux(tmp_path, ARM))
    assert (facts["vendor"], facts["family"], facts["model"], facts["stepping"]) == ("0x41", "8", "0xd4f", "0x1, 3")
    assert facts["instruction_sets"] == ["asimd", "bf16", "i8mm", "sve"]


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    facts = identity.identity(identity.processor_of_linux(linux(tmp_path, "processor\t: 0\n")), None, [])
    assert facts["unknown"] == [
        *("vendor", "family", "model", "stepping", "instruction_sets", "l2_kib", "l3_kib", "cores_allowed")
    ]
    assert facts["vendor"] == "unknown"
    check_shape(Identity, facts)


FACTS = st.fixed_dictionaries(
    {
        "vendor": st.sampled_from(["AuthenticAMD", "GenuineIntel"]),
        "family": st.sampled_from(["25", "26", "unknown"]),
        "instruction_sets": st.lists(st.sampled_from(identity.INSTRUCTION_SETS), unique=True, max_size=3),
        "l2_kib": st.sampled_from([[], [1024], [1024, 2048]]),
    }
)
CORES = st.sampled_from([None, 1, 1.5, 2])
GPUS = st.lists(st.sampled_from(["NVIDIA H100", "NVIDIA H200"]).map(lambda name: {"name": name}), max_size=2)


@given(st.tuples(FACTS, CORES, GPUS), st.tuples(FACTS, CORES, GPUS))
def test_two_digests_are_one_if_all_facts_are_and_only_then(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    a, b = (identity.identity(*facts) for facts in (one, other))
    assert (a["digest"] == b["digest"]) == (one == other)
    assert (a["hardware"] == b["hardware"]) == (one[::2] == other[::2])
    assert (identity.in_words(a) == identity.in_words(b)) == (one[::2] == other[::2])


def test_of_older_records_it_is_unknown() -> None:
    assert identity.in_words({}) is None


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="only Linux holds a process to some cores")
def test_a_process_held_to_one_core_runs_on_another_machine() -> None:
    process = psutil.Process()
    cores = process.cpu_affinity()
    if len(cores) < 2:
        pytest.skip("there is one core alone")
    name, facts = hardware.machine_name("cpu"), hardware.identity("cpu")
    process.cpu_affinity(cores[:1])
    try:
        held_name, held = hardware.machine_name("cpu"), hardware.identity("cpu")
    finally:
        process.cpu_affinity(cores)
    assert name != held_name
    assert "-1-cores-" in held_name
    assert (facts["hardware"], facts["digest"] == held["digest"]) == (held["hardware"], False)


def test_a_quota_allows_less_than_the_cores_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcdl.machine.cgroups.cpu_quota_cores", lambda: 0.5)
    assert hardware.cores_allowed() == 0.5
    assert "-0-5-cores-" in hardware.machine_name("cpu")
    assert hardware.describe("cpu")["cpu_quota_cores"] == 0.5


@pytest.mark.parametrize(("quota", "allowed"), [(1.5, 1.5), (1.0, 1)])
def test_what_a_quota_allows_is_read_again(monkeypatch: pytest.MonkeyPatch, quota: float, allowed: float) -> None:
    """As a whole number if it is one: a quota of one core and one processor are one fact, and one digest."""
    monkeypatch.setattr("bcdl.machine.cgroups.cpu_quota_cores", lambda: quota)
    monkeypatch.setattr(hardware, "cpus_allowed", lambda: [0, 1])
    facts = hardware.describe("cpu")
    assert repr(facts["cpu_cores_allowed"]) == repr(allowed)
    made = dataclasses.replace(record(), environment={**record().environment, **facts})
    assert Record.from_json(made.to_json()).environment["cpu_cores_allowed"] == allowed
    tried = dataclasses.replace(EXPERIMENT, environment=facts)
    assert Experiment.from_json(tried.to_json()).environment["identity"] == facts["identity"]
