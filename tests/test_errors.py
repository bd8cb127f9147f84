"""How commands end if their own output is what fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FULL = Path("/dev/full")  # every write to it fails, as on a full disk


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["bcdl"], ["bcdl.doctor"], ["bcdl.experiment"]])
def test_a_full_disk_under_the_output_is_an_error_in_a_line(arguments: list[str], unbuffered: str) -> None:
    with FULL.open("w") as full:
        command = [sys.executable, "-m", *arguments]
        variables = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            command, cwd=ROOT, env=variables, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["error: the output can't be written (No space left on device); make room, or send it to another file"],
    )


def test_characters_that_the_output_has_no_bytes_for_are_escaped() -> None:
    code = "from bcdl.errors import run_command; run_command(lambda: print('caf\\u00e9 \\udcff') or 0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "caf\\xe9 \\udcff\n", "")
