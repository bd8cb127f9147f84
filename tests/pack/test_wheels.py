"""The wheels of a pack: the pinned ones, and no more and no fewer than a machine with frameworks lacks."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from bcdl.errors import UsageError
from bcdl.pack import wheels
from tests.conftest import ROOT

# What an image with torch and JAX for GPUs was seen to hold, of all that our modules and Keras's import.
IMAGE = {
    *("absl-py", "filelock", "h5py", "jax", "jaxlib", "markdown-it-py", "matplotlib", "ml-dtypes", "numpy"),
    *("nvidia-ml-py", "opencv-python-headless", "packaging", "pillow", "psutil", "py-cpuinfo", "pytest"),
    *("pytest-benchmark", "requests", "rich", "scikit-learn", "scipy", "threadpoolctl", "torch"),
    "typing-extensions",
}
_DISTRIBUTION = {"cpuinfo": "py-cpuinfo", "cv2": "opencv-python-headless", "PIL": "pillow", "pynvml": "nvidia-ml-py"}
_DISTRIBUTION |= {"sklearn": "scikit-learn", "absl": "absl-py"}
# Of a backend that the image has not, of a comparison that is made elsewhere, and of an extra.
_OPTIONAL = {"tensorflow", "grain", "pydicom", "altair", "itables", "vl_convert"}


@given(st.text(max_size=6) | st.from_regex(r"cp3[0-9]{1,2}", fullmatch=True))
def test_a_tag_is_that_of_a_cpython_or_refused(tag: str) -> None:
    if re.fullmatch(r"cp3[0-9]{1,2}", tag):
        assert wheels.python_version(tag) == f"3.{tag[3:]}"
    else:
        with pytest.raises(UsageError, match="--for"):
            wheels.python_version(tag)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_packed_package_is_pinned_once(version: str) -> None:
    pins = wheels.pins(ROOT, wheels.NAMES, version)
    assert [pin.partition("==")[0] for pin in pins] == list(wheels.NAMES)
    assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", pin) for pin in pins)


def test_pins_that_differ_are_refused(tmp_path: Path) -> None:
    for backend, version in (("jax", "1"), ("torch", "2")):
        (tmp_path / "backends" / backend).mkdir(parents=True)
        lines = ["# a comment", f"keras=={version}"]
        lines += ["namex==1 ; python_full_version < '3.12'", "namex==2 ; python_full_version >= '3.12'"]
        (tmp_path / "backends" / backend / "requirements-gpu.txt").write_text("\n".join(lines) + "\n")
    assert wheels.pins(tmp_path, ["namex"], "3.12") == ["namex==2"]
    with pytest.raises(UsageError, match=r"keras can't be packed: .* differ between backends \(keras==1, keras==2\)"):
        wheels.pins(tmp_path, ["keras"], "3.12")


def imported(file: Path) -> set[str]:
    """Names of the top-level modules that a module imports, outside the standard library and this project."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"bcdl", "backends", "benchmarks", "keras"}


def test_a_packed_machine_lacks_nothing_that_our_modules_import() -> None:
    files = [file for name in ("bcdl", "backends", "benchmarks") for file in (ROOT / name).rglob("*.py")]
    names = {_DISTRIBUTION.get(name, name) for file in files for name in imported(file)}
    assert names - IMAGE - set(wheels.NAMES) - _OPTIONAL == set()


def test_a_packed_machine_lacks_nothing_that_the_packed_packages_need() -> None:
    needed = set()
    for name in wheels.NAMES:
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # in an environment without a backend, Keras; the packed dry run has it
        plain = [
            each for each in map(Requirement, requirements) if not each.marker or each.marker.evaluate({"extra": ""})
        ]
        needed |= {each.name.lower().replace("_", "-") for each in plain}
    assert needed - IMAGE - set(wheels.NAMES) == set()


def test_nothing_is_packed_that_the_image_has() -> None:
    assert not set(wheels.NAMES) & IMAGE
