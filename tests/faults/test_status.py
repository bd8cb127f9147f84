"""What is running is told from another terminal, whatever lies in the folders of runs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl.records import runs
from bcdl.runner.progress import State
from bcdl.runner.run import STATUS_FILE
from tests.conftest import ROOT
from tests.factory import cell
from tests.faults.conftest import Injected

RUN = "20260101T000000Z-0000"
STATE = State(1, cell().id, "epoch 1/2", 0.0, 0.0, 3, 1, 4, 60.0, "cnn on torch, seed 0")


def said(results: Path) -> str:
    """What the command prints while this process has the run."""
    with runs.claim(results, RUN):
        command = [sys.executable, "-m", "bcdl.status", "--results", str(results)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def keep(results: Path, content: str) -> None:
    file = results / runs.RUNS / RUN / STATUS_FILE
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")


def test_a_run_under_way_is_reported(tmp_path: Path) -> None:
    keep(tmp_path, json.dumps(dataclasses.asdict(STATE)))
    text = said(tmp_path)
    assert "cnn on torch" in text
    assert "epoch 1/2, for" in text
    assert "4, about 60 s" in text


def test_a_run_that_is_over_is_not(tmp_path: Path) -> None:
    keep(tmp_path, json.dumps(dataclasses.asdict(STATE)))
    command = [sys.executable, "-m", "bcdl.status", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"nothing is running on {tmp_path}\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "no cell"},
        {"cell": 3},
        {"phase_started": "then"},
        {"phase": ["a"]},
        {"title": 3},
        {"left": None},
        {"about_left_s": "soon"},
        {"cell_started": 1e400},
        {"more": 1},
    ],
)
def test_a_state_that_no_run_says_is_reported_as_unknown(
    tmp_path: Path, changes: dict[str, object], injected: Injected
) -> None:
    keep(tmp_path, json.dumps({**dataclasses.asdict(STATE), **changes}))
    with injected("status_files"):
        assert RUN in said(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000])
def test_a_run_whose_file_is_broken_is_reported_all_the_same(tmp_path: Path, content: str, injected: Injected) -> None:
    keep(tmp_path, content)
    with injected("status_files"):
        assert RUN in said(tmp_path)
