"""Which source a worker of a backend runs, as a digest: what is measured by the same code may stand for itself.

Standard library only.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("bcdl", "backends")


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
    # The worker imports these two by name, once the backend is known, and a data set's module once its name is.
    waiting = ["bcdl.worker", "bcdl.regimes", f"backends.{backend}.adapter"]
    waiting += [f"bcdl.datasets.{path.stem}" for path in (ROOT / "bcdl" / "datasets").glob("*.py")]
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if file and name not in found:
            found[name] = file
            waiting += _imported(file)
            waiting += [name.rpartition(".")[0]]  # a package's own file runs first
    return tuple(sorted(set(found.values())))


def _file_of(module: str) -> Path | None:
    """The module's file, None where it is none of the project's."""
    if module.split(".")[0] not in _PACKAGES:
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imported(file: Path) -> Iterator[str]:
    """Names that may be modules, from every import in the file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
