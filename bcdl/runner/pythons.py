"""The Python of each backend of a study: the one that runs the command, or that which `--python` names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from bcdl.errors import UsageError
from bcdl.runner import interpreter
from bcdl.runner.interpreter import Interpreter
from bcdl.settings.options import check_backend
from bcdl.text import legible


def add_option(add: Callable[..., Any]) -> None:
    """Declare `--python` by a parser's `add_argument`."""
    add(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="Python of a backend, or the folder of its environment, as bcdl env makes one; once for each backend that "
        "this Python lacks",
    )


def named(texts: Sequence[str]) -> dict[str, str]:
    """The path of the Python of each backend that `--python` names; UsageError if one can't be read."""
    pythons: dict[str, str] = {}
    for text in texts:
        backend, _, path = text.partition("=")
        if not backend or not path.strip():
            raise UsageError(f"--python {legible(text)} names no backend, or no Python; write it as in jax=PATH")
        check_backend(backend, installed_here=False)
        if backend in pythons:
            raise UsageError(f"--python names two of {legible(backend)}; a backend runs by one Python, so give one")
        pythons[backend] = path
    return pythons


def find(backends: Collection[str], pythons: Mapping[str, str]) -> dict[str, Interpreter]:
    """What runs the workers of each backend; UsageError if it can't, or if `--python` names one without cells."""
    if others := [name for name in pythons if name not in backends]:
        wanted = ", ".join(backends)
        raise UsageError(f"--python {legible(others[0])}: the file asks for cells on {wanted} alone; leave it out")
    found = {
        backend: interpreter.find(f"--python {backend}", pythons.get(backend, sys.executable), backend)
        for backend in backends
    }
    for backend, by in found.items():
        check_backend(backend, installed_here=not by.facts)
    return found
