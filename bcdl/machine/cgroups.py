"""Limits that control groups of Linux set to this process: those of a container, or of a scheduler.

A group is limited by all above it, too. Both versions are read: in version 2 a group has one folder with the files of
all its controllers, in version 1 one for each controller (Linux kernel, Documentation/admin-guide/cgroup-v2.rst and
cgroup-v1/). A process in a container may see its own group as the top of the tree, under a path that is not there; so
every folder from the group's path up to the top is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_MOUNT = Path("sys/fs/cgroup")


def cpu_quota_cores(root: Path = _ROOT) -> float | None:
    """The CPU time that the process may use, in cores, as 1.5; None if no group limits it.

    `root` is the top of the file system.
    """
    quotas = [_share(*text.split()[:2]) for text in _texts(root, "", "cpu.max")]
    for folder in _folders(root, "cpu"):
        limit, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        quotas.append(_share(limit, period))
    return min(filter(None, quotas), default=None)


def memory_bytes(root: Path = _ROOT) -> int | None:
    """The memory that the process may use, bytes; None if no group limits it. `root` is the top of the file system."""
    texts = [*_texts(root, "", "memory.max"), *_texts(root, "memory", "memory.limit_in_bytes")]
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def throttled_s(root: Path = _ROOT) -> float | None:
    """Seconds, over all processors, for which a quota has held the process's groups back; None if no group counts them.

    `root` is the top of the file system.
    """
    counts = [*_counts(root, "", "throttled_usec", 1e6), *_counts(root, "cpu", "throttled_time", 1e9)]
    return max(counts, default=None)


def _counts(root: Path, controller: str, name: str, units_a_second: float) -> Iterator[float]:
    """The counter of that name in the `cpu.stat` of each group, seconds."""
    for text in _texts(root, controller, "cpu.stat"):
        for line in text.splitlines():
            counter, _, value = line.partition(" ")
            if counter == name and value.strip().isdecimal():
                yield int(value) / units_a_second


def _share(limit: str, period: str = "") -> float | None:
    """Cores from the microseconds of CPU time in each period; None if one of them is no number above 0."""
    if not (limit.isdecimal() and period.isdecimal() and int(limit) and int(period)):
        return None  # `max`, or -1, of a group without a limit
    return round(int(limit) / int(period), 3)


def _texts(root: Path, controller: str, name: str) -> Iterator[str]:
    """What the files of that name hold, in the groups of the process; `controller` is empty for version 2."""
    return filter(None, (_text(folder / name) for folder in _folders(root, controller)))


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the process's group and of all above it; `controller` is empty for version 2."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        if controller not in names.split(","):
            continue
        # Version 2 stands beside version 1 in a folder of its own; controllers may share one, as `cpu,cpuacct`.
        tops = (_MOUNT / names, _MOUNT / controller) if controller else (_MOUNT, _MOUNT / "unified")
        path = PurePosixPath(group.lstrip("/"))
        for top in dict.fromkeys(tops):
            yield from (root / top / part for part in (path, *path.parents))


def _text(file: Path) -> str:
    """What the file holds, without white space at its ends; empty if it can't be read."""
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""
