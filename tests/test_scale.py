"""The benchmark of how reading, comparing and reporting scale makes records that count, each once."""

from __future__ import annotations

from pathlib import Path

from bcdl import compare
from bcdl.records import store
from bcdl.records.record import Record
from benchmarks import scale
from tests.conftest import ROOT

EXAMPLE = (ROOT / "tests" / "records" / "schemas" / "10.json").read_text(encoding="utf-8")


def test_made_records_are_different_and_follow_from_their_own_samples(tmp_path: Path) -> None:
    template = Record.from_json(EXAMPLE)
    store.append(tmp_path / "source", "a-machine", template)
    sides = [tmp_path / name for name in "ab"]
    for place, side in enumerate(sides):
        assert scale.make(side, tmp_path / "source", count=3, first=3 * place) > 0
        records, problems = store.read_all(side)
        assert not problems
        assert [record.cell.seed for _, record in records] == [3 * place + number for number in range(3)]
        assert len({record.samples["fit_s"][0] for _, record in records}) == 3
    a, b = compare.read_sides(*sides)
    assert len(a) == len(b) == 3 * len({sample.regime for sample in a})
