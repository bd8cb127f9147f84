"""The committed page of faults: every one of the catalogue was injected, all were survived, and none cost anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bcdl import backends
from tests.conftest import ROOT
from tests.faults.catalogue import FAULTS, FEWER, Tally, rows_of, write

PAGE = ROOT / "docs" / "reliability.md"


LEAST_KINDS = 5  # of injection of a fault


def test_the_catalogue_is_large() -> None:
    """A fault of each backend counts once."""
    of_backends = {fault.partition(": ")[2] for fault in FAULTS.values() if fault.partition(": ")[0] in backends.NAMES}
    others = [fault for fault in FAULTS.values() if fault.partition(": ")[0] not in backends.NAMES]
    assert len(of_backends) + len(others) >= 80


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_stands_on_the_page_as_survived(fault: str) -> None:
    row = rows_of(PAGE)[FAULTS[fault]]
    injected, kinds, survived, lost, models_lost = map(int, re.findall(r"\| (\d+) (?=\|)", row))
    assert injected == survived > 0
    assert (lost, models_lost) == (0, 0)
    assert kinds <= injected
    assert (kinds < LEAST_KINDS) == (fault in FEWER)


def test_every_test_that_the_page_names_is_there() -> None:
    for row in rows_of(PAGE).values():
        file, name = re.search(r"`pytest (\S+?)::(\w+)", row).groups()
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_rows_of_faults_that_a_run_did_not_inject_stay(tmp_path: Path) -> None:
    first, second = list(FAULTS)[:2]
    write(tmp_path / "page.md", {first: Tally(2, 2, 0, "tests/a.py::test_a", names={"one way"})})
    write(tmp_path / "page.md", {second: Tally(3, 2, 1, "tests/b.py::test_b", "; 7 s", {"a", "b"}, 1)})
    assert rows_of(tmp_path / "page.md") == {
        FAULTS[first]: f"| {FAULTS[first]} | 2 | 1 | 2 | 0 | 0 | `pytest tests/a.py::test_a` |",
        FAULTS[second]: f"| {FAULTS[second]} | 3 | 2 | 2 | 1 | 1 | `pytest tests/b.py::test_b`; 7 s |",
    }
