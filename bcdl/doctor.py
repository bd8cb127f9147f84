"""Print what a bug report needs: versions, devices, caches, and the precision and jit that each backend resolves to."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from bcdl import __version__, backends
from bcdl.datasets import cache
from bcdl.errors import program, run_command
from bcdl.machine import environment, gpus, hardware, provenance
from bcdl.machine.hardware import MIB
from bcdl.report.tables import plain
from bcdl.runner import progress
from bcdl.settings import profiles
from bcdl.settings.options import PRECISIONS
from bcdl.worker import session


def main() -> int:
    parser = argparse.ArgumentParser(prog=program("doctor"), description=__doc__)
    parser.add_argument("--device", choices=("cpu", "gpu"), default=hardware.default_device())
    parser.add_argument("--probe", nargs=2, metavar=("BACKEND", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        _probe(arguments.device, *arguments.probe)
        return 0
    gpus.check(arguments.device)
    console = progress.console()
    for notice in environment.notices(arguments.device):
        console.print(plain(notice))
    profile = {"default profile": profiles.default(arguments.device)}
    console.print(_grid("bcdl", {"version": __version__, **provenance.commit(), **profile}))
    facts = hardware.describe(arguments.device)
    identity, variables, versions = (facts.pop(name) for name in ("identity", "variables", "versions"))
    console.print(_grid("machine", {"name": hardware.machine_name(arguments.device), **facts}))
    console.print(_grid("identity", identity))
    console.print(_grid("environment variables", variables or {"none set": "that frameworks read"}))
    console.print(_grid("packages", versions))
    console.print(_grid("caches", _caches()))
    for name in backends.NAMES:
        console.print(_grid(f"backend {name}", _backend(name, arguments.device)))
    return 0


def _grid(title: str, facts: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, min_width=60)
    for key, value in facts.items():
        table.add_row(key, plain(str("none" if value in (None, []) else value)))
    return table


def _caches() -> dict[str, str]:
    """The folders that are kept from one run to the next, with `~` for the home folder."""
    home = os.path.expanduser("~")
    keras_home = Path(os.environ.get("KERAS_HOME", os.path.join(home, ".keras")))
    entries, taken = cache.usage()
    try:
        decoded = _shown(cache.folder(), home)
    except cache.NoCacheError as error:
        decoded = f"none: {error}"
    size = (
        f"{entries} entries, {taken / MIB:.0f} MiB; at most {cache.MOST_BYTES // MIB} MiB; may be removed at any time"
    )
    return {
        "decoded images, and what was found in them": f"{decoded} ({size})",
        "weights and data": _shown(keras_home, home),
    }


def _shown(folder: Path, home: str) -> str:
    return str(folder).replace(home, "~") + ("" if folder.is_dir() else " (does not exist yet)")


def _backend(name: str, device: str) -> dict[str, Any]:
    """What each precision resolves to on the backend, by another process: a process has one Keras backend."""
    missing = [package for package in (name, "keras") if not backends.is_installed(package)]
    if missing:
        return {"missing": f"{', '.join(missing)}; nox -s bench-{name} makes an environment that has all"}
    with tempfile.TemporaryDirectory(prefix="bcdl-") as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "bcdl.doctor", "--device", device, "--probe", name, str(answer)]
        variables = {**environment.of_child(), "KERAS_BACKEND": name}
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
        return json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else {"error": _last_line(done)}


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


def _probe(device: str, name: str, answer: str) -> None:
    """Start the backend as a worker does, for every precision, and write what it resolves to into the file `answer`."""
    facts: dict[str, Any] = {}
    for precision in PRECISIONS:
        try:
            resolved = session.describe(session.start_backend(name, device, precision))
        except (backends.DeviceError, backends.UnsupportedError, ImportError) as error:
            resolved = {"not available": str(error)}
        facts.update({f"{precision}: {key}": value for key, value in resolved.items()})
    Path(answer).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
