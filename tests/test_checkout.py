"""A clone as Windows makes it (core.autocrlf=true): the same bytes, the same digest of the code, and a valid report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import backends

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Clones of HEAD, by their core.autocrlf."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    folders = {value: tmp_path_factory.mktemp("clone") / value for value in ("false", "true")}
    for value, folder in folders.items():
        done = run("git", "clone", "--quiet", "--config", f"core.autocrlf={value}", str(ROOT), str(folder))
        assert done.returncode == 0, done.stderr
    return folders


def test_no_text_has_another_line_end(clones: dict[str, Path]) -> None:
    lines = run("git", "ls-files", "--eol", cwd=clones["true"]).stdout.splitlines()
    assert lines
    assert [line for line in lines if "w/crlf" in line or "w/mixed" in line] == []


@pytest.mark.parametrize("backend", backends.NAMES)
def test_the_code_has_the_same_digest(clones: dict[str, Path], backend: str) -> None:
    code = f"from bcdl.machine import provenance; print(provenance.digest({backend!r}))"
    digests = {run(sys.executable, "-c", code, cwd=folder).stdout for folder in clones.values()}
    assert len(digests) == 1
    assert digests.pop().strip()


@pytest.mark.elsewhere
def test_the_report_follows_from_the_records(clones: dict[str, Path]) -> None:
    done = run(sys.executable, "-m", "bcdl", "report", "--check", cwd=clones["true"])
    assert done.returncode == 0, done.stdout + done.stderr
