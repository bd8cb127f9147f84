"""Ids of runs, and which of them are alive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bcdl.records import runs
from tests.conftest import ROOT

RUN = "20260101T000000Z-0000"


def test_run_ids_sort_by_time_and_do_not_collide() -> None:
    ids = [runs.new_run_id() for _ in range(20)]
    assert len(set(ids)) == len(ids)
    assert [run[:16] for run in ids] == sorted(run[:16] for run in ids)
    assert all(runs.is_run_id(run) and runs.is_run_id(f"{run}-{side}") for run in (*ids, RUN) for side in "abcz")


def test_every_committed_log_is_called_after_a_run() -> None:
    files = [
        file for log in ("records", "parity", "experiments") for file in (ROOT / "results" / log).glob("*/*.jsonl")
    ]
    assert files
    assert all(runs.is_run_id(file.stem) for file in files)


@pytest.mark.parametrize(
    "text", ["", "visits", "20260101", f"{RUN}-C", f"{RUN}-aa", f"{RUN}0", f"x{RUN}", f"{RUN}\n", RUN.replace("0", "٠")]
)
def test_other_names_are_no_ids(text: str) -> None:
    assert not runs.is_run_id(text)


def test_a_run_is_alive_as_long_as_it_is_claimed(tmp_path: Path) -> None:
    asked = f"runs.is_live(Path({str(tmp_path)!r}), {RUN!r})"
    code = f"from bcdl.records import runs; from pathlib import Path; print({asked})"

    def answer() -> str:
        return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    assert answer() == "False"
    with runs.claim(tmp_path, RUN):
        assert answer() == "True"
    assert answer() == "False"
