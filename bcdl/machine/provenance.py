"""Which code ran: its commit, a digest of the files that a worker of a backend imports, and versions of packages.

The code that runs is the one that a process finds on the disk as it starts. So whoever measures calls `take` before it
imports what it measures with, and all that is said of the code afterwards is said of that; `changed` says whether the
files have become others since.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bcdl import __version__

# The folder that holds `bcdl/`: the top of a checkout, or where packages are installed.
ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = "bcdl"
_BACKENDS = "bcdl.backends"


def take() -> None:
    """Read the project's files and its commit, for all that is said of them later; only the first call counts."""
    _sources()
    _commit()


def facts(backend: str) -> dict[str, Any]:
    """Commit, whether there were changes that it lacks, and digest of the code, as JSON values: as it was taken."""
    return {**commit(), "code": digest(backend)}


def changed(backend: str, *modules: str) -> bool:
    """Whether a file that a worker of `backend`, or one of further modules, imports is another than it was taken."""
    return any(_content(file) != _sources().get(file) for file in files(backend, *modules))


@functools.cache
def digest(backend: str) -> str:
    """SHA-256 over the files that a worker of `backend` imports, names and contents; 16 hex digits of it."""
    hashed = hashlib.sha256()
    for file in files(backend):
        hashed.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + _sources()[file] + b"\0")
    return hashed.hexdigest()[:16]


@functools.cache
def files(backend: str, *modules: str) -> tuple[Path, ...]:
    """The project's files that a worker of `backend`, or one of further modules, imports, also through others, sorted.

    `modules` are names of modules of the project.
    """
    # The adapter is imported by its name, once the backend is known, and a data set's module once its name is.
    waiting = ["bcdl.worker.__main__", f"{_BACKENDS}.{backend}.adapter", *modules]
    data_sources = ROOT / "bcdl" / "datasets" / "sources"
    waiting += [f"bcdl.datasets.sources.{file.stem}" for file in _sources() if file.parent == data_sources]
    by_name: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if file and name not in by_name:
            by_name[name] = file
            waiting += _imported(_sources()[file], name if file.stem == "__init__" else name.rpartition(".")[0])
            waiting += [name.rpartition(".")[0]]  # a package's own file runs first
    return tuple(sorted(set(by_name.values())))


@functools.cache
def _sources() -> Mapping[Path, bytes]:
    """What the project's modules held when this was first called, by file."""
    folders = (folder for folder in (ROOT / "bcdl", ROOT / "backends") if folder.is_dir())
    read = {file: _content(file) for folder in folders for file in folder.rglob("*.py")}
    return {file: content for file, content in read.items() if content is not None}


def _content(file: Path) -> bytes | None:
    """The bytes of the file; None if it can't be read."""
    try:
        return file.read_bytes()
    except OSError:
        return None


def _file_of(module: str) -> Path | None:
    """The file of a module of the project; None for any other module."""
    if module.split(".")[0] != _PACKAGE:
        return None
    path = ROOT.joinpath(*module.split("."))
    if module.startswith(_BACKENDS) and not (ROOT / "bcdl" / "backends").is_dir():  # a checkout has them at its top
        path = ROOT.joinpath(*module.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file in _sources()), None)


def _imported(source: bytes, package: str) -> Iterator[str]:
    """Names that may be modules, from every import in the source of a module, which belongs to `package`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


# Everything that can change a figure.
PACKAGES = (
    "keras",
    "jax",
    "jaxlib",
    "tensorflow",
    "tensorflow-cpu",
    "torch",
    "grain",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "scikit-learn",
)
# Likewise on a GPU, and nowhere else: kernels, the plugins by which JAX computes, and compilers. Names may end with the
# release of CUDA that a package is for.
GPU_PACKAGES = (
    "nvidia-cudnn",
    "nvidia-cublas",
    "nvidia-nccl",
    "nvidia-cuda-nvcc",
    "nvidia-cuda-nvrtc",
    *(f"jax-cuda{release}-{part}" for release in (12, 13) for part in ("plugin", "pjrt")),
    "triton",
)
_RELEASES = ("", "-cu12", "-cu13")


@functools.cache
def _versions() -> Mapping[str, str]:
    installed = {"bcdl": __version__}
    for package in (*PACKAGES, *(f"{name}{release}" for name in GPU_PACKAGES for release in _RELEASES)):
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def versions() -> dict[str, str]:
    """Versions of bcdl and of the packages that can change a figure, if they are installed."""
    return dict(_versions())


def decisive_versions(versions: Mapping[str, str], device: str) -> dict[str, str]:
    """Those of the versions that a record tells of which can change the figures of a cell on `device`."""
    return {name: version for name, version in versions.items() if device != "cpu" or not _is_of_gpus(name)}


def _is_of_gpus(package: str) -> bool:
    return package.removesuffix("-cu12").removesuffix("-cu13") in GPU_PACKAGES


def sha256(file: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# What a source that was packed says of itself, and the mark that says who wrote that.
PACK_FILE = "packed.json"
_WRITER_KEY, _WRITER = "written by", "bcdl pack"

# Files that a checkout of bcdl tracks together, and neither an installed copy nor another repository has.
_TRACKED = ("bcdl/__init__.py", "backends/__init__.py", "pyproject.toml")


def commit() -> dict[str, Any]:
    """The git commit of the source, `commit`, and whether its tracked files differ from it, results excepted, `dirty`.

    A source that `bcdl pack` carried to a machine without its history is of the commit that it was packed from; it is
    dirty if it was so then, or if a module is another than was packed. Both are None if the source is neither that nor
    a checkout of its own: an installed package, which may well lie in another project's repository, or a plain copy.
    They are those of the moment at which the code was taken.
    """
    return dict(_commit())


@functools.cache
def _commit() -> dict[str, Any]:
    if packed := _packed_commit():  # whatever repository it was put into, or made of
        return packed
    if not _is_checkout():
        return {"commit": None, "dirty": None}
    revision = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return {"commit": revision, "dirty": bool(changes) if revision and changes is not None else None}


def _packed_commit() -> dict[str, Any] | None:
    """The commit that the source was packed from, as `commit`; None if it was not packed."""
    packed = read_pack(ROOT)
    if packed is None:
        return None
    modules = {file.relative_to(ROOT).as_posix(): content for file, content in _sources().items()}
    unchanged = all(hashlib.sha256(content).hexdigest() == packed.files.get(name) for name, content in modules.items())
    return {"commit": packed.commit, "dirty": packed.dirty or not unchanged}


@dataclasses.dataclass(frozen=True)
class Pack:
    """What a source that was packed says of itself, in its file `PACK_FILE`.

    Attributes:
        commit: the commit that it was packed from.
        dirty: whether the checkout had changes that the commit lacks.
        files: SHA-256 of each file beside that one, by its path from there.
        beside: likewise of each file of the pack beside the source, by its path from the pack's folder; None if an
            older bcdl packed it, which noted none.
    """

    commit: str
    dirty: bool
    files: Mapping[str, str]
    beside: Mapping[str, str] | None = None

    def write(self, source: Path) -> None:
        """Write it into the folder of the source."""
        text = json.dumps({_WRITER_KEY: _WRITER, **dataclasses.asdict(self)}, indent=1)
        (source / PACK_FILE).write_text(text + "\n", encoding="utf-8")


def read_pack(source: Path) -> Pack | None:
    """What a packed source says of itself; None if there is nothing that `bcdl pack` wrote."""
    try:
        values = json.loads((source / PACK_FILE).read_text(encoding="utf-8"))
        if values.pop(_WRITER_KEY) != _WRITER:
            return None
        beside = dict(values["beside"]) if "beside" in values else None
        return Pack(str(values["commit"]), bool(values["dirty"]), dict(values["files"]), beside)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_checkout() -> bool:
    """Whether the source is the top of a git repository that tracks the files of bcdl."""
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != ROOT:
        return False
    return _git("ls-files", "--error-unmatch", *_TRACKED) is not None


def tracked_files(*paths: str) -> list[str]:
    """The files that the checkout tracks at or under these paths, relative to its top; empty if it is no checkout."""
    listed = _git("ls-files", "-z", "--", *paths) if _is_checkout() else None
    return [name for name in (listed or "").split("\0") if name and (ROOT / name).is_file()]


def _git(*arguments: str) -> str | None:
    """What git prints of the folder of the source, whatever repository the caller's variables (GIT_DIR ...) name."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return output("git", "-C", str(ROOT), *arguments, environment=environment)


def python_path() -> list[str]:
    """The folders that another Python needs on its path to import this bcdl: the top of the checkout.

    There are none if bcdl is installed, since packages of this environment, which lie beside it, would come along.
    """
    return [] if (ROOT / "bcdl" / "backends").is_dir() else [str(ROOT)]


def short_commit(environment: Mapping[str, Any]) -> str:
    """The commit of an environment, `*` if the code that ran was not, or not surely, that of the commit."""
    return str(environment.get("commit") or "unknown")[:10] + "*" * is_uncommitted(environment)


def is_uncommitted(environment: Mapping[str, Any]) -> bool:
    """Whether the tree had changes that the commit lacks, or files were changed while they ran."""
    return bool(environment.get("dirty") or environment.get("code_changed"))


def output(*command: str, environment: Mapping[str, str] | None = None) -> str | None:
    """What the command prints, without white space at its ends; None if it fails or takes more than 20 s.

    `environment` replaces this process's variables.
    """
    try:
        completed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20, env=environment)
        return completed.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
