"""The checkout that is packed, or why there is none."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from bcdl.errors import UsageError
from bcdl.machine import provenance

FOLDER = provenance.ROOT
# What of a checkout runs and measures; tests, documents and results stay.
_TAKEN = ("backends", "bcdl", "benchmarks", "pyproject.toml", "LICENSE")
_PATIENCE_S = 20


def files() -> list[str]:
    """The tracked files that are packed, by their paths in the checkout; UsageError if this is no checkout."""
    names = provenance.tracked_files(*_TAKEN) if provenance.commit()["commit"] else []
    if not names:
        raise UsageError(f"bcdl pack takes the files of a git checkout, and {_why_none()}")
    return names


def _why_none() -> str:
    if not shutil.which("git"):
        return "there is no git on the PATH to read one; install git, then pack again"
    if provenance.read_pack(FOLDER):
        return "this is the source of a pack; pack where that was made"
    said = _complaint()
    if "dubious ownership" in said:
        command = f"git config --global --add safe.directory {shlex.quote(str(FOLDER))}"
        return f"git does not trust this one, since it is another user's; if you do: {command}"
    if (FOLDER / ".git").exists() and said:
        return f"git can't read this one ({said}); mend it, or clone the repository again"
    return "this is none; clone the repository"


def _complaint() -> str:
    """The first line of what git says against the checkout; empty if nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(FOLDER), "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(
            command,
            env={**environment, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return next(iter(done.stderr.splitlines()), "") if done.returncode else ""
