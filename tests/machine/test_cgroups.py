"""Limits of containers and schedulers, by the files in which Linux has them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.machine import cgroups


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", encoding="ascii")
    return root


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"
OWN = "proc/self/cgroup"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({OWN: "0::/"}, None),
        ({OWN: "0::/", f"{V2}/cpu.max": "max 100000"}, None),
        ({OWN: "0::/", f"{V2}/cpu.max": "150000 100000"}, 1.5),
        ({OWN: "0::/", f"{V2}/cpu.max": "100000"}, None),  # half a file
        ({OWN: "0::/a/b", f"{V2}/a/b/cpu.max": "max 100000", f"{V2}/a/cpu.max": "50000 100000"}, 0.5),
        # A container that sees its own group under the path of the host.
        ({OWN: "0::/docker/0123", f"{V2}/cpu.max": "200000 100000"}, 2.0),
        ({OWN: "0::/../../job", f"{V2}/cpu.max": "200000 100000"}, 2.0),
        ({OWN: "4:cpu,cpuacct:/", f"{V1}/cpu.cfs_quota_us": "-1", f"{V1}/cpu.cfs_period_us": "100000"}, None),
        ({OWN: "4:cpu,cpuacct:/", f"{V1}/cpu.cfs_quota_us": "25000", f"{V1}/cpu.cfs_period_us": "100000"}, 0.25),
        (
            {
                OWN: "4:cpu,cpuacct:/job\n3:cpuset:/\n0::/",
                f"{V1}/job/cpu.cfs_quota_us": "300000",
                f"{V1}/job/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/unified/cpu.max": "400000 100000",
            },
            3.0,
        ),
        ({OWN: "1:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "7", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "0"}, None),
    ],
)
def test_the_quota_of_both_versions(tmp_path: Path, files: dict[str, str], cores: float | None) -> None:
    assert cgroups.cpu_quota_cores(write(tmp_path, files)) == cores


@given(st.lists(st.none() | st.integers(1_000, 10**7), min_size=1, max_size=4))
def test_a_group_has_no_more_than_any_above_it(quotas: list[int | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        groups = ["/".join(["", *"abcd"[:depth]]) for depth in range(len(quotas))]
        shares = zip(groups, quotas, strict=True)
        limits = {f"{V2}{group}/cpu.max": f"{quota or 'max'} 100000" for group, quota in shares}
        root = write(Path(folder), {OWN: f"0::{groups[-1] or '/'}", **limits})
        least = min(filter(None, quotas), default=None)
        assert cgroups.cpu_quota_cores(root) == (None if least is None else round(least / 100_000, 3))


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({OWN: "0::/"}, None),
        ({OWN: "0::/a", f"{V2}/a/memory.max": "max", f"{V2}/memory.max": "4096"}, 4096),
        ({OWN: "6:memory:/job", "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "8192"}, 8192),
    ],
)
def test_the_memory_of_both_versions(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    assert cgroups.memory_bytes(write(tmp_path, files)) == limit


def test_what_a_quota_held_back_is_read_in_the_processes_own_group(tmp_path: Path) -> None:
    own = {"proc/self/cgroup": "0::/slice/job\n", "sys/fs/cgroup/slice/job/cpu.stat": "usage_usec 5\n"}
    assert cgroups.throttled_s(write(tmp_path / "none", own)) is None
    held = {**own, "sys/fs/cgroup/slice/job/cpu.stat": "usage_usec 5\nthrottled_usec 250000\n"}
    assert cgroups.throttled_s(write(tmp_path / "newer", held)) == 0.25
    older = {
        "proc/self/cgroup": "4:cpu,cpuacct:/job\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.stat": "throttled_time 1500000000",
    }
    assert cgroups.throttled_s(write(tmp_path / "older", older)) == 1.5
