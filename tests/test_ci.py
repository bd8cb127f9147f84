"""The stages of CI, with a stand-in for nox: each runs, and one that fails fails the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import backends
from tests.conftest import ROOT

NOX = """#!{python}
import os, pathlib, sys
session, options = sys.argv[2], sys.argv[3:]
print("output of", session)
if session == "report" and "--results" in options:
    pathlib.Path(options[-1], "README.md").write_text("the page")
sys.exit(session == os.environ["FAILING"])
"""
SESSIONS = {
    *("lint", "report", "parity", "bench", "bench-ab", "tests-fast", "tests-faults", "tests-page", "tests-slurm"),
    "tests-wheel",
    *(f"tests-{name}" for name in backends.NAMES),
}


def run(tmp_path: Path, failing: str) -> tuple[int, str]:
    """Exit code and output of all stages, of which the one named `failing` fails."""
    program = tmp_path / "nox"
    program.write_text(NOX.format(python=sys.executable))
    program.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    variables = {**os.environ, "PATH": path, "FAILING": failing}
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "stages.py"], env=variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script of POSIX")


def test_every_stage_runs_and_its_time_is_told_at_the_end(tmp_path: Path) -> None:
    code, printed = run(tmp_path, failing="")
    assert code == 0
    before, page, after = printed.partition("the page\n")
    assert page
    assert {line.split()[-1] for line in before.splitlines() if line.startswith("output of")} == SESSIONS
    *rows, total = [line.split() for line in after.splitlines()]
    assert {name for name, _, unit, ended in rows if (unit, ended) == ("s", "passed")} == SESSIONS
    assert (total[0], total[-1]) == ("all", "passed")


@pytest.mark.parametrize("failing", sorted(SESSIONS))
def test_a_stage_that_fails_fails_all_and_stops_those_that_need_it_alone(tmp_path: Path, failing: str) -> None:
    code, printed = run(tmp_path, failing)
    assert code == 1
    assert f"output of {failing}" in printed
    ended = [line.split() for line in printed.splitlines() if line.endswith(("passed", "FAILED"))]
    assert [words[0] for words in ended if words[-1] == "FAILED"][-2:] == [failing, "all"]
    assert "the page" not in printed
    assert ("output of bench\n" in printed) == (failing != "parity")
    assert all(f"output of tests-{part}\n" in printed for part in ("fast", "faults", "wheel", "slurm", *backends.NAMES))
