"""What another Python has: a side that is measured in turn may run in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.machine import environment
from bcdl.text import legible

_TIMEOUT_S = 120
_ASK = """
import json, platform, sys
from bcdl import backends
from bcdl.machine import provenance
facts = {"python": platform.python_version(), "versions": provenance.versions()}
print(json.dumps([all(map(backends.is_installed, ("keras", sys.argv[1]))), facts]))
"""


def software(option: str, interpreter: str, backend: str) -> dict[str, Any]:
    """`python` and `versions` of the Python at this path, as a record's environment has them.

    Empty if it is the Python that runs this, whose versions the driver knows.

    Raises:
        UsageError: there is none, it can't import bcdl, or it lacks the backend; the message names `option`.
    """
    if backend not in backends.NAMES:
        raise UsageError(f"{option}: unknown backend {legible(backend)!r}; choose from {', '.join(backends.NAMES)}")
    if not Path(interpreter).is_file():
        raise UsageError(f"{option}: there is no Python at {legible(interpreter)!r}")
    if interpreter == sys.executable:
        return {}
    is_installed, facts = _ask(option, interpreter, backend)
    if not is_installed:
        raise UsageError(
            f"{option}: the Python at {legible(interpreter)} lacks {backend} or Keras; install "
            f"backends/{backend}/requirements-cpu.txt, or -gpu.txt, there"
        )
    return dict(facts)


def _ask(option: str, interpreter: str, backend: str) -> tuple[bool, dict[str, Any]]:
    """Whether that Python has the backend, and its software."""
    command = [interpreter, "-c", _ASK, backend]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment.of_child())
        is_installed, facts = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"{option}: the Python at {legible(interpreter)} can't run bcdl; try {legible(interpreter)} -m bcdl doctor"
        ) from error
    return bool(is_installed), facts
