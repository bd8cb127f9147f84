"""Exports: what other tools are given of records."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest

from bcdl import export
from bcdl.errors import BcdlError, UsageError
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.report import exports
from tests.factory import record, with_rates

MACHINE = "a-machine"


def exported(name: str, *records: Record, machine: str = MACHINE) -> str:
    return exports.load(name)([(machine, each) for each in records])


def with_code(made: Record, code: str) -> Record:
    return dataclasses.replace(made, environment={**made.environment, "code": code})


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", exports.names())
def test_every_format_says_what_it_is_and_exports_nothing_of_nothing(name: str) -> None:
    assert 10 < len(exports.summary(name)) < 110
    assert exported(name).strip() in ("[]", exported(name).strip().splitlines()[0])


def test_an_unknown_format_is_refused_with_the_names() -> None:
    with pytest.raises(UsageError, match="unknown format 'xml'; the formats are csv, github-action-benchmark"):
        exports.load("xml")


def test_the_csv_has_a_row_for_each_sample_and_the_record_it_is_of() -> None:
    made = with_rates(record(), fit=100.0, step=120.0, predict=480.0, request=80.0)
    read = rows(exported("csv", made))
    assert len(read) == sum(map(len, made.samples.values()))
    steps = [row for row in read if (row["regime"], row["warm_up"]) == ("step", "no")]
    assert [float(row["seconds"]) for row in steps] == made.samples["step_s"]
    assert [int(row["sample"]) for row in steps] == [1, 2, 3]
    assert [float(row["images_per_s"]) for row in steps] == pytest.approx([120.0] * 3)
    assert {row["run"] for row in read} == {made.run}
    assert {row["cell"] for row in read} == {made.cell.id}


def test_the_csv_says_which_samples_are_of_the_warm_up() -> None:
    made = dataclasses.replace(record(), samples={"step_s": [0.5], "step_warm_up_s": [2.0]})
    assert [(row["regime"], row["warm_up"], row["seconds"]) for row in rows(exported("csv", made))] == [
        ("step", "no", "0.5"),
        ("step", "yes", "2.0"),
    ]


def test_no_name_is_a_formula_of_a_spreadsheet() -> None:
    (first, *_) = rows(exported("csv", record(), machine="=HYPERLINK(1)"))
    assert first["machine"] == "'=HYPERLINK(1)"


def test_the_action_gets_name_unit_value_range_and_extra() -> None:
    entries = json.loads(
        exported("github-action-benchmark", with_rates(record(), fit=100.0, step=120.0, predict=480.0))
    )
    assert [set(entry) for entry in entries] == [{"name", "unit", "value", "range", "extra"}] * 3
    assert [(entry["value"], entry["unit"]) for entry in entries] == [
        (pytest.approx(rate), "images/s") for rate in (100.0, 120.0, 480.0)
    ]
    assert [entry["name"].rpartition(": ")[2] for entry in entries] == ["fit", "step", "predict"]
    assert all(entry["name"].startswith("CNN on torch, random, synthetic-48, ") for entry in entries)
    assert "one process; commit ffffffffff; keras 3.15.1" in entries[1]["extra"]


def test_the_action_gets_the_median_of_the_newest_code_alone_and_the_same_name_for_it() -> None:
    older = [with_code(with_rates(record(), step=rate), "old") for rate in (10.0, 20.0)]
    newer = [
        with_code(with_rates(record(seed=seed), step=rate), "new") for seed, rate in enumerate((90.0, 110.0, 130.0))
    ]
    before, after = (json.loads(exported("github-action-benchmark", *made)) for made in (older, [*older, *newer]))
    (step,) = (entry for entry in after if entry["name"].endswith(": step"))
    assert (step["value"], step["range"]) == (pytest.approx(110.0), "90.00 to 130.00")
    assert step["extra"].startswith("median of 3 processes")
    assert [entry["name"] for entry in before] == [entry["name"] for entry in after]


def test_names_of_what_differs_in_more_than_settings_are_told_apart() -> None:
    other = dataclasses.replace(record(), dataset={**record().dataset, "checksum": "0" * 64})
    names = [entry["name"] for entry in json.loads(exported("github-action-benchmark", record(), other))]
    assert len(set(names)) == len(names) == 6


def test_a_cell_that_failed_has_no_rate() -> None:
    failed = dataclasses.replace(record(), status="failed", reason="no", metrics={}, samples={})
    assert json.loads(exported("github-action-benchmark", failed)) == []
    assert rows(exported("csv", failed)) == []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store.append(tmp_path, MACHINE, record())
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["bcdl export", *map(str, arguments)])
    return export.main()


def test_the_command_lists_the_formats(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == exports.names()


@pytest.mark.parametrize("name", exports.names())
def test_the_command_writes_a_file_as_it_prints(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(monkeypatch, name, "--results", results) == 0
    printed = capsys.readouterr().out
    assert run(monkeypatch, name, "--results", results, "--out", results / "new" / "out") == 0
    assert (results / "new" / "out").read_text(encoding="utf-8") == printed
    assert capsys.readouterr().out == f"written: {results / 'new' / 'out'}\n"


def test_what_could_not_be_read_fails_the_command_and_is_named(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = results.glob("records/*/*.jsonl")
    file.write_text(file.read_text(encoding="utf-8") + "{torn\n", encoding="utf-8")
    with pytest.raises(BcdlError, match=r"1 lines or files of .* could not be read, so that the export lacks them"):
        run(monkeypatch, "csv", "--results", results)
    said = capsys.readouterr()
    assert len(rows(said.out)) > 1
    assert "line 2" in said.err


def test_a_folder_without_records_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="holds no records/ folder"):
        run(monkeypatch, "csv", "--results", tmp_path)
