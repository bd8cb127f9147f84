"""Which source a worker of a backend runs, as a digest: what is measured by the same code may stand for itself.

Standard library only.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bcdl import __version__

ROOT = Path(__file__).resolve().parents[2]


_PACKAGE = "bcdl"
_BACKENDS = "bcdl.backends"


@functools.cache
def digest(backend: str) -> str:
    """SHA-256 over the files that a worker of `backend` imports, names and contents; 16 hex digits of it."""
    hashed = hashlib.sha256()
    for file in files(backend):
        hashed.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return hashed.hexdigest()[:16]


@functools.cache
def files(backend: str) -> tuple[Path, ...]:
    """The project's files that a worker of `backend` imports, directly or through others, sorted."""
    # The adapter is imported by its name, once the backend is known, and a data set's module once its name is.
    waiting = ["bcdl.worker.__main__", f"{_BACKENDS}.{backend}.adapter"]
    waiting += [f"bcdl.datasets.sources.{path.stem}" for path in (ROOT / "bcdl" / "datasets" / "sources").glob("*.py")]
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if file and name not in found:
            found[name] = file
            waiting += _imported(file, name if file.stem == "__init__" else name.rpartition(".")[0])
            waiting += [name.rpartition(".")[0]]  # a package's own file runs first
    return tuple(sorted(set(found.values())))


def _file_of(module: str) -> Path | None:
    """The module's file, None where it is none of the project's."""
    if module.split(".")[0] != _PACKAGE:
        return None
    path = ROOT.joinpath(*module.split("."))
    if module.startswith(_BACKENDS) and not (ROOT / "bcdl" / "backends").is_dir():  # a checkout has them at its top
        path = ROOT.joinpath(*module.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imported(file: Path, package: str) -> Iterator[str]:
    """Names that may be modules, from every import in the file, which belongs to `package`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


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


def commit() -> dict[str, Any]:
    """The source's git commit and whether its tracked files, results aside, differ from it; None where unknown."""
    revision = output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changes = output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return {"commit": revision, "dirty": bool(changes) if revision and changes is not None else None}


def short_commit(environment: Mapping[str, Any]) -> str:
    """The commit of an environment, `*` where its tree had other changes."""
    return str(environment.get("commit") or "unknown")[:10] + "*" * bool(environment.get("dirty"))


def output(*command: str) -> str | None:
    """What the command prints, or None where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
