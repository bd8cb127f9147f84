"""The wheels of a pack: the pinned packages that a machine with frameworks but without Keras lacks."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from bcdl.errors import BcdlError, UsageError
from bcdl.machine import installing

# Keras and what it imports, and what reads data sets: those of our packages that images with torch or JAX lack.
NAMES = ("keras", "namex", "optree", "platformdirs", "pooch")
# The oldest glibc that each of these tags needs is older than that of any image with CUDA 13.
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_TAG = re.compile(r"cp3([0-9]{1,2})")
_PATIENCE_S = 600


def python_version(tag: str) -> str:
    """The version that a tag of CPython names: `cp312` is 3.12; UsageError if it is no such tag."""
    match = _TAG.fullmatch(tag)
    if not match:
        raise UsageError(f"--for {tag!r} is no CPython; give the tag of the machine's Python, cp312 for 3.12")
    return f"3.{match[1]}"


def pins(checkout: Path, names: Iterable[str], version: str) -> list[str]:
    """The requirements of the packages, `name==version`, as the backends' pins for GPUs have them for that Python.

    Raises UsageError if a package is in no pins, or if those of two backends differ.
    """
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    environment |= {"sys_platform": "linux", "platform_machine": "x86_64"}
    pinned: dict[str, set[str]] = {name: set() for name in names}
    for file in sorted(checkout.glob("backends/*/requirements-gpu.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            requirement = Requirement(line) if line.partition("#")[0].strip() else None
            if requirement and requirement.name in pinned and _applies(requirement, environment):
                pinned[requirement.name].add(f"{requirement.name}{requirement.specifier}")
    for name, found in pinned.items():
        if len(found) != 1:
            versions = f"differ between backends ({', '.join(sorted(found))})" if found else "have no such package"
            raise UsageError(f"{name} can't be packed: the pins in backends/*/requirements-gpu.txt {versions}")
    return [pin for found in pinned.values() for pin in found]


def _applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def download(requirements: Sequence[str], version: str, folder: Path) -> None:
    """Put the wheels of the requirements, and of nothing that they need, into the folder; for Linux on x86-64.

    Raises BcdlError if pip can't get them, and OSError if the disk is full.
    """
    command = [*_pip(), "download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries", "1"]
    command += ["--implementation", "cp", "--python-version", version]
    command += [part for platform in _PLATFORMS for part in ("--platform", platform)]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), *requirements],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
        code, said = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        code, said = 1, f"no answer within {_PATIENCE_S} s"
    if code and os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, "pip found no space left, there or for temporary files")
    if code:
        raise BcdlError(
            f"pip can't get the wheels {' '.join(requirements)} for Python {version}: {installing.reason(said)}; see "
            "to the network and to pip's package index, then pack again"
        )


def _pip() -> list[str]:
    """The command that starts pip: of this Python, of the path, or by uv."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if program := shutil.which("pip"):
        return [program]
    if program := shutil.which("uvx"):
        return [program, "--quiet", "pip"]
    raise UsageError("pip gets the wheels, and there is none here; install pip or uv")
