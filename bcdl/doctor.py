"""Print what a bug report needs: versions, devices, caches, and the precision and jit that each backend resolves to."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from bcdl import __version__, backends
from bcdl.datasets import cache
from bcdl.errors import run_command
from bcdl.machine import environment, gpus, hardware, places, provenance
from bcdl.machine.hardware import MIB
from bcdl.report.tables import plain
from bcdl.runner import progress
from bcdl.screen import say
from bcdl.settings import profiles
from bcdl.settings.arguments import Parser
from bcdl.settings.options import PRECISIONS
from bcdl.worker import session

# How the line begins by which a process answers that started a backend; frameworks print others.
_ANSWER = "bcdl-answer:"


def main() -> int:
    parser = Parser("doctor", __doc__)
    parser.add_argument("--device", choices=("cpu", "gpu"), default=hardware.default_device())
    parser.add_argument("--probe", metavar="BACKEND", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        _probe(arguments.device, arguments.probe)
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
    entries, taken = cache.usage()
    try:
        decoded = _shown(cache.folder())
    except places.NoPlaceError as error:
        decoded = f"none: {error}"
    size = (
        f"{entries} entries, {taken / MIB:.0f} MiB; at most {cache.MOST_BYTES // MIB} MiB; may be removed at any time"
    )
    return {
        "decoded images, and what was found in them": f"{decoded} ({size})",
        "weights and data": _shown(places.keras()),
    }


def _shown(folder: Path) -> str:
    home = os.path.expanduser("~")
    inside = os.path.isabs(home) and folder.is_relative_to(home)
    shown = Path("~", folder.relative_to(home)) if inside else folder
    return str(shown) + ("" if folder.is_dir() else " (does not exist yet)")


def _backend(name: str, device: str) -> dict[str, Any]:
    """What each precision resolves to on the backend, by another process: a process has one Keras backend."""
    missing = [package for package in (name, "keras") if not backends.is_installed(package)]
    if missing:
        return {"missing": f"{', '.join(missing)}; nox -s bench-{name} makes an environment that has all"}
    command = [sys.executable, "-m", "bcdl.doctor", "--device", device, "--probe", name]
    variables = {**environment.of_child(), "KERAS_BACKEND": name}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=variables, check=False)
    answers = [line.removeprefix(_ANSWER) for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    facts: dict[str, Any] = json.loads(answers[-1]) if answers else {"error": _last_line(done)}
    return facts


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


def _probe(device: str, name: str) -> None:
    """Start the backend as a worker does, for every precision, and print what it resolves to, among other lines."""
    facts: dict[str, Any] = {}
    for precision in PRECISIONS:
        try:
            resolved = session.describe(session.start_backend(name, device, precision))
        except (backends.DeviceError, backends.UnsupportedError, ImportError) as error:
            resolved = {"not available": str(error)}
        facts.update({f"{precision}: {key}": value for key, value in resolved.items()})
    say()  # ends a line of a framework
    say(f"{_ANSWER}{json.dumps(facts)}", flush=True)


if __name__ == "__main__":
    run_command(main)
