"""The committed page of faults: every one of the catalogue was injected, all were survived, and no record was lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.catalogue import FAULTS, Tally, rows_of, write

PAGE = ROOT / "docs" / "reliability.md"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_stands_on_the_page_as_survived(fault: str) -> None:
    row = rows_of(PAGE)[FAULTS[fault]]
    injected, survived, lost = map(int, re.findall(r"\| (\d+) (?=\|)", row))
    assert injected == survived > 0
    assert lost == 0


def test_every_test_that_the_page_names_is_there() -> None:
    for row in rows_of(PAGE).values():
        file, name = re.search(r"`pytest (\S+?)::(\w+)", row).groups()
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_rows_of_faults_that_a_run_did_not_inject_stay(tmp_path: Path) -> None:
    first, second = list(FAULTS)[:2]
    write(tmp_path / "page.md", {first: Tally(2, 2, 0, "tests/a.py::test_a")})
    write(tmp_path / "page.md", {second: Tally(3, 2, 1, "tests/b.py::test_b", "; 7 s")})
    assert rows_of(tmp_path / "page.md") == {
        FAULTS[first]: f"| {FAULTS[first]} | 2 | 2 | 0 | `pytest tests/a.py::test_a` |",
        FAULTS[second]: f"| {FAULTS[second]} | 3 | 2 | 1 | `pytest tests/b.py::test_b`; 7 s |",
    }
