"""What installs packages, uv or pip: how it is started, and why it failed."""

from __future__ import annotations

import importlib.util
import shutil
import sys

from bcdl.text import legible

_LONGEST = 300  # letters of a reason
_MARKS = ("error:", "\u00d7")  # with which uv begins what went wrong; causes follow, on lines of their own


def uv() -> list[str]:
    """The command that starts uv: of the path, or of this Python; empty if there is none."""
    if program := shutil.which("uv"):
        return [program]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else []


def reason(said: str) -> str:
    """Why an installer failed, by what it printed: the last line that pip marks as an error, or all of uv's error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    of_pip = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    if of_pip:
        return legible(of_pip[-1], _LONGEST)
    start = next((place for place, line in enumerate(lines) if line.startswith(_MARKS)), len(lines) - 1)
    of_uv = " ".join(line.removeprefix("error:").strip("\u00d7 ") for line in lines[max(0, start) :])
    return legible(of_uv, _LONGEST) or "it gives no reason"
