"""Whatever a file of records holds, each line is a record or a told problem, and a report is made of what is there."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from bcdl import plots, report, store
from tests.conftest import ROOT
from tests.factory import record
from tests.faults import mutation
from tests.faults.conftest import Injected

COUNT = 10_000
LINES_A_FILE = 500
MACHINE = "a-machine"


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Mutations of the stored examples of every schema, of made-up records, failed ones too, and of measured ones."""
    whole = [file.read_text(encoding="utf-8").strip() for file in (ROOT / "tests" / "schemas").glob("*.json")]
    whole += [record().to_json(), record(status="out_of_memory").to_json()]
    measured = sorted((ROOT / "results" / "records").glob("*/*.jsonl"))[0]
    whole += measured.read_text(encoding="utf-8").splitlines()[:2]
    return list(mutation.mutated(whole, COUNT, seed=20240229))


def test_every_mutated_line_is_a_record_or_a_told_problem(
    lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    """Reports of a few hundred at a time, without their plots: each hostile setting would be a group with its own."""
    monkeypatch.setattr(plots, "modules", dict)
    outcomes: Counter[bool] = Counter()
    for start in range(0, COUNT, LINES_A_FILE):
        some = lines[start : start + LINES_A_FILE]
        folder = tmp_path / str(start)
        file = folder / store.RECORDS / MACHINE / "20260101T000000Z-0000.jsonl"
        file.parent.mkdir(parents=True)
        good = record(run="20250101T000000Z-0000")
        store.append(folder, MACHINE, good)
        file.write_bytes(b"\n".join(some) + b"\n")
        with injected("mutated_records", times=len(some)) as tally:
            records, problems = store.read_all(folder)
            tally.lost += (MACHINE, good) not in records
            assert (MACHINE, good) in records
            assert len(records) - 1 + len(problems) == len(some)
            outcomes.update({True: len(records) - 1, False: len(problems)})
            report.build(folder)
            assert (folder / "README.md").read_text(encoding="utf-8").count("<script") == 0
            report.print_run([one for _, one in records], Console(file=io.StringIO()))
    assert min(outcomes.values()) > COUNT / 20  # both kinds are tried
