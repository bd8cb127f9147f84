"""Runs of two sides in turn on the page: each ratio from its own records, marked by its own parity."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from bcdl.parity.verdicts import MISMATCH, NEVER_MEASURED, UNMEASURED, Verdicts
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.report.section import Section
from bcdl.report.sections import sides_in_turn
from bcdl.statistics import comparison
from tests import pages
from tests.factory import record, with_rates
from tests.in_process import completed

RATES = [100.0, 101.0, 99.5, 100.5, 99.0, 100.2, 101.5, 98.8, 100.9, 99.7]
RUN = "20260101T000000Z-0000"


def side(name: str, rates: Sequence[float] = RATES, run: str = RUN, **changes: object) -> list[Record]:
    """The records of one side: a process a rate, the same in all regimes."""
    records = []
    for number, rate in enumerate(rates):
        entry = with_rates(record(run=f"{run}-{name}", **changes), **dict.fromkeys(comparison.RATES, rate))
        records.append(dataclasses.replace(entry, block=f"{run}/{number}", side=name))
    return records


def section_of(*records: Record, verdicts: Verdicts | None = None) -> Section:
    section = sides_in_turn.section([("m", entry) for entry in records], verdicts or Verdicts(()))
    assert section is not None
    return section


def rows_of(section: Section) -> list[dict[str, str]]:
    """The lines of the only table, as people see them, by the heading of the column."""
    ((table,),) = section.tables.values()
    return [dict(zip([column.title for column in table.columns], row, strict=True)) for row in table.shown()]


def test_without_two_sides_there_is_no_section() -> None:
    assert sides_in_turn.section([("m", record()), *(("m", entry) for entry in side("a"))], Verdicts(())) is None


def test_runs_of_two_sides_in_turn_are_shown() -> None:
    slower = [rate * 0.8 for rate in RATES]
    section = section_of(*side("a", backend="jax"), *side("b", slower, backend="torch"))
    assert list(section.tables) == [f"in-turn-m-{RUN}"]
    lines = [line.removeprefix("- ") for line in section.text.splitlines() if line.startswith("- ")]
    assert [line.partition(",")[0] for line in lines[:4]] == [
        "Machine: m",
        "A: jax",
        "B: torch",
        "Cells: synthetic-48 (synthetic drawings)",
    ]
    rows = rows_of(section)
    assert {(row["regime"], row["A, median"], row["B, median"]) for row in rows} == {
        (regime, "100.1", "80.1") for regime in comparison.RATES
    }
    assert {(row["B / A"], row["parity"]) for row in rows} == {(f"0.800{UNMEASURED}", NEVER_MEASURED)}


def test_a_side_is_described_by_a_record_that_ran_with_its_changes() -> None:
    failed, ran, *_ = side("a")
    failed = dataclasses.replace(record(run=failed.run, status="failed"), block=failed.block, side="a")
    ran = dataclasses.replace(ran, environment={**ran.environment, "commit": "c" * 40, "dirty": True})
    text = section_of(failed, ran, *side("b", RATES[:2])).text
    assert f"commit {'c' * 10}*, jit_compile" in text
    assert "- Not ok: cnn on torch, seed 0: failed: it was made to fail" in text


def test_two_sides_of_one_backend_need_no_parity() -> None:
    rows = rows_of(section_of(*side("a"), *side("b")))
    assert {row["B / A"] for row in rows} == {"1.000"}
    assert "parity" not in rows[0]


def test_two_sides_that_cannot_be_compared_say_why() -> None:
    section = section_of(*side("a"), *side("b", image_size=64))
    assert rows_of(section) == []
    assert "- Not ok: A and B share no cell: image_size is 32 in A and 64 in B" in section.text


class ByModel(Verdicts):
    """Verdicts by model alone."""

    def __init__(self, verdicts: dict[str, tuple[str, str]]) -> None:
        super().__init__(())
        self.by_model = verdicts

    def of(self, machine: str, record: Record, other: Record) -> str:
        assert record.cell.model == other.cell.model
        return self.by_model[record.cell.model][0]

    def mark(self, machine: str, records: Sequence[Record], others: Sequence[Record]) -> str:
        return self.by_model[records[0].cell.model][1]


@pytest.mark.parametrize("title", [comparison.title, lambda cell: "a cell"])
def test_each_ratio_has_the_parity_of_its_own_records(monkeypatch: pytest.MonkeyPatch, title: object) -> None:
    """Whatever the cells are called: here, all of them the same."""
    monkeypatch.setattr(comparison, "title", title)
    verdicts = ByModel({"cnn": ("differs", MISMATCH), "mobilenet": ("within rounding", "")})
    both = [
        entry
        for model, factor in (("cnn", 0.5), ("mobilenet", 0.8))
        for name, backend in (("a", "jax"), ("b", "torch"))
        for entry in side(name, [rate * (factor if name == "b" else 1) for rate in RATES], model=model, backend=backend)
    ]
    rows = rows_of(section_of(*both, verdicts=verdicts))
    assert {(row["B / A"], row["parity"]) for row in rows} == {
        (f"0.500{MISMATCH}", "differs"),
        ("0.800", "within rounding"),
    }


def test_the_report_writes_ratios_without_marks_for_programs(tmp_path: Path) -> None:
    for entry in (*side("a", backend="jax"), *side("b", backend="torch")):
        store.append(tmp_path, "m", entry)
    done = completed("report", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "tables" / f"in-turn-m-{RUN}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["B / A"], row["parity"]) for row in rows} == {("1.000", NEVER_MEASURED)}
    assert f"B / A: 1.000{UNMEASURED}; " in pages.page(tmp_path, "sides-in-turn")


def test_a_ratio_of_doubtful_rates_is_marked_and_the_table_says_why() -> None:
    busy = {"step": {"wall_s": 10.0, "machine_s": 20.0, "others_s": 8.0}}
    a = side("a")
    a[0] = dataclasses.replace(a[0], environment={**a[0].environment, "disturbance": busy})
    b = [dataclasses.replace(entry, samples={**entry.samples, "fit_s": [0.25]}) for entry in side("b")]
    b[3] = dataclasses.replace(b[3], samples={**b[3].samples, "predict_s": [0.01, 0.02, 0.01, 0.02]})
    section = section_of(*a, *b)
    assert {row["regime"]: row["B / A"] for row in rows_of(section)} == {
        "fit": "1.000!",
        "step": "1.000!",
        "predict": "1.000!",
    }
    cell = "CNN, synthetic-48, 32x32, batch 4"
    for line in (
        f"- ! other processes were busy: {cell}, step, A (1 of 10: 40% of the processors' time)",
        f"- ! it is of one sample: {cell}, fit, B (10 of 10: 6 steps, one epoch)",
        f"- ! its samples spread widely: {cell}, predict, B (1 of 10: 4 samples)",
        "- Disturbance: what else the machine did was not recorded of 19 of 20 records",
    ):
        assert line in section.text


def test_a_machine_that_changed_its_speed_between_rounds_is_told() -> None:
    a = side("a")
    a[0] = dataclasses.replace(a[0], metrics={**a[0].metrics, "product_flops_per_s": 2.5e11})
    assert "torch 100 to 250. UNSTEADY by a factor of 2.5" in section_of(*a, *side("b")).text
