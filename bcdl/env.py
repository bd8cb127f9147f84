"""Make an environment that has a backend's pinned packages and bcdl, for `bcdl run --python NAME=PATH`.

uv makes it if there is one, else this Python's venv and pip. What can't be made whole leaves nothing behind.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bcdl import __version__, backends, interrupts
from bcdl.errors import BcdlError, UsageError, debugging, run_command
from bcdl.machine import hardware, installing, provenance, scratch
from bcdl.runner import interpreter, supervisor
from bcdl.screen import say, warn_lines
from bcdl.settings.arguments import Parser
from bcdl.settings.limits import Limits
from bcdl.settings.options import DEVICES, check_backend, one_of
from bcdl.text import legible

_TORCH_INDEX = "UV_TORCH_BACKEND"
# Variables by which pip and uv would take packages of this process for those of the new environment.
_OF_THIS_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")


def main() -> int:
    interrupts.advise("nothing of the environment is left: give the same command again")
    arguments = _parse()
    backend, at = arguments.backend, Path(os.path.abspath(arguments.at))
    check_backend(backend, installed_here=False)
    device = one_of("--device", arguments.device or hardware.default_device(), DEVICES)
    requirements = _requirements(backend, device)
    if os.path.lexists(at):
        raise UsageError(f"--at {arguments.at} is there already; name a folder that is not, or remove it")
    with contextlib.ExitStack() as failed:
        failed.callback(shutil.rmtree, at, ignore_errors=True)
        _make(at, requirements)
        by = interpreter.find(f"--at {legible(str(arguments.at))}", str(at), backend)
        failed.pop_all()
    say(f"{arguments.at} has {_versions(by.facts, backend)}; use it as in")
    say(f"bcdl run FILE.toml --python {shlex.quote(f'{backend}={arguments.at}')}")
    return 0


def _parse() -> argparse.Namespace:
    parser = Parser("env", __doc__)
    parser.add_argument("backend", metavar="NAME", help=f"one of {', '.join(backends.NAMES)}")
    parser.add_argument("--at", type=Path, required=True, metavar="PATH", help="folder that is made")
    parser.add_argument(
        "--device",
        metavar=f"{{{','.join(DEVICES)}}}",
        help="what its packages are for; default gpu if there is an NVIDIA GPU here",
    )
    return parser.parse_args()


def _requirements(backend: str, device: str) -> Path:
    """The backend's pinned packages for the device; UsageError if this bcdl came without them."""
    file = Path(backends.__file__).parent / backend / f"requirements-{device}.txt"
    if not file.is_file():
        raise UsageError(f"this bcdl came without {file.name} of {backend}; install it anew, or use a checkout")
    return file


def _make(at: Path, requirements: Path) -> None:
    """Make the environment; BcdlError if that fails."""
    uv = installing.uv()
    pins = [line for line in requirements.read_text(encoding="utf-8").splitlines() if "==" in line]
    by = "uv" if uv else "venv and pip"
    say(f"{at}: {by} installs the {len(pins)} packages of {requirements.name}; that takes minutes", flush=True)
    python = str(interpreter.of_environment(at))
    if uv:
        _run([*uv, "venv", "--quiet", "--python", sys.executable, str(at)], "uv can't make the environment")
        install = [*uv, "pip", "install", "--quiet", "--python", python]
    else:
        _run([sys.executable, "-m", "venv", str(at)], f"{sys.executable} can't make the environment")
        install = [python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    _install([*install, "--requirement", str(requirements)])
    _run([*install, "--no-deps", *_this_bcdl()], f"{by} can't install bcdl")


def _install(command: Sequence[str]) -> None:
    """Install the pinned packages; if torch's own index can't be reached, the ordinary wheel, as nox does."""
    what = "the packages can't be installed"
    try:
        _run(command, what)
    except BcdlError as error:
        if _TORCH_INDEX not in os.environ:
            raise
        say(f"note: with {_TORCH_INDEX}, {error}; without it, once more", flush=True)
        _run(command, what, without=(_TORCH_INDEX,))


def _this_bcdl() -> list[str]:
    """What installs the bcdl that runs this: its checkout, or what it was installed from (PEP 610)."""
    if provenance.python_path():
        return ["--editable", str(provenance.ROOT)]
    try:
        origin = json.loads(importlib.metadata.distribution("bcdl").read_text("direct_url.json") or "{}")
    except importlib.metadata.PackageNotFoundError:  # its files were copied
        origin = {}
    if not (url := origin.get("url")):
        return [f"bcdl=={__version__}"]
    revision = origin.get("vcs_info", {})
    return [f"bcdl @ {revision['vcs']}+{url}@{revision['commit_id']}" if revision else f"bcdl @ {url}"]


def _run(command: Sequence[str], what: str, without: Sequence[str] = ()) -> None:
    """Run a command that prints little; BcdlError, which begins with `what` and says why, if it fails.

    `without` are variables of this process that it does not get.
    """
    left_out = (*_OF_THIS_PYTHON, *without)
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    with scratch.folder() as folder:
        log = folder / "printed.txt"
        code = _code(command, variables, log, what)
        said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    if debugging() and said:
        warn_lines(said)
    if code:
        raise BcdlError(
            f"{what}: {installing.reason(said)}; see to the network, to the package index and to the room on the disk, "
            "then give the command again"
        )


def _code(command: Sequence[str], variables: Mapping[str, str], log: Path, what: str) -> int:
    """The exit code of the command, whose output goes to the file `log`."""
    try:
        with supervisor.started(command, variables, log) as process:
            ending = process.watch(Limits(), lambda: None)
    except OSError as error:
        raise BcdlError(f"{what}: {command[0]} can't be started ({error.strerror or error})") from error
    return ending.code if ending else 0


def _versions(facts: Mapping[str, object], backend: str) -> str:
    """What the environment has, in words, by what its Python says."""
    versions = facts.get("versions")
    told = {name: str(version) for name, version in (versions if isinstance(versions, dict) else {}).items()}
    names = [name for name in (backend, f"{backend}-cpu", "keras") if name in told]
    return " and ".join(f"{name} {told[name]}" for name in names) or backend


if __name__ == "__main__":
    run_command(main)
