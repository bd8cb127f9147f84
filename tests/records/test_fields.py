"""Every field of a line of a log has a row, every row a field, and docs/records.md shows the rows."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any, TypedDict

import pytest

from bcdl.errors import UsageError
from bcdl.parity.findings import Finding
from bcdl.records import fields, log, store
from bcdl.records.experiment import Experiment
from bcdl.records.fields import RANGES, rows
from bcdl.records.record import SCHEMA, Record
from bcdl.records.shapes import COLD, KEYS, LOOKED, TESTED, TIMED, Environment, Listed
from bcdl.report import record_fields
from tests.conftest import ROOT
from tests.described import absent, undescribed

SCHEMAS = sorted((ROOT / "tests" / "records" / "schemas").glob("*.json"), key=lambda file: int(file.stem))
EXPERIMENTS = ROOT / "tests" / "records" / "experiments"
FINDINGS = ROOT / "tests" / "parity" / "schemas"


def holding(line: dict[str, Any]) -> tuple[str, ...]:
    """The conditions that hold of an example: timed, tested, nothing from a cache; not each run looked for leaks."""
    return (TIMED, COLD, TESTED, LOOKED) if "leaks" in line["dataset"] else (TIMED, COLD, TESTED)


def parsed(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values


def test_the_example_of_the_newest_schema_holds_every_field_and_no_other() -> None:
    line = parsed(SCHEMAS[-1])
    assert undescribed(line, Record) == []
    assert absent(line, Record, holding(line)) == []


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_rows_say_which_schema_a_field_came_with(file: Path) -> None:
    """Older examples hold what rows say was there, and nothing that came later."""
    line = parsed(file)
    later = set(undescribed(line, Record, int(file.stem))) - set(undescribed(line, Record))
    assert later == set()
    assert absent(line, Record, holding(line), int(file.stem)) == []


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_every_field_of_an_upgraded_record_has_a_row(file: Path) -> None:
    upgraded = Record.from_json(file.read_text(encoding="utf-8")).to_json()
    assert undescribed(json.loads(upgraded), Record) == []


def test_every_field_of_the_records_that_are_kept_has_a_row() -> None:
    kept, problems = store.read_all(ROOT / "results")
    assert kept
    assert problems == []
    assert {field for _, record in kept for field in undescribed(json.loads(record.to_json()), Record)} == set()


def test_every_field_of_experiments_has_a_row_and_every_row_a_field() -> None:
    lines = [line for file in EXPERIMENTS.glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines()]
    lines += [line for file in (ROOT / "results" / log.EXPERIMENTS).rglob("*.jsonl") for line in file.open()]
    described = [json.loads(Experiment.from_json(line).to_json()) for line in lines]
    assert {field for line in described for field in undescribed(line, Experiment)} == set()
    own = [row.name for row in rows(Experiment, elsewhere=(Environment,)) if len(row.path) == 1]
    assert own == [name for name in described[0] if name != "schema"]


def test_every_field_of_parity_findings_has_a_row_and_every_row_a_field() -> None:
    lines = [parsed(file) for file in FINDINGS.glob("*.json")]
    lines += [json.loads(line) for file in (ROOT / "results" / log.PARITY).rglob("*.jsonl") for line in file.open()]
    read = [json.loads(Finding.from_json(json.dumps(line)).to_json()) for line in lines]
    assert {field for line in read for field in undescribed(line, Finding)} == set()
    own = {row.name: row.only for row in rows(Finding, elsewhere=(Environment,))}
    everywhere = set.intersection(*({*absent(line, Finding, {*itertools.chain(*own.values())})} for line in read))
    assert everywhere & own.keys() == set()


@pytest.mark.parametrize("shape", [Record, Experiment, Finding])
def test_every_row_says_what_and_why(shape: Any) -> None:
    for row in rows(shape):
        assert row.field.what
        assert row.field.why
        assert not row.field.what.endswith(".")
        assert 1 <= row.since <= SCHEMA
        assert row.field.unit or not row.path[-1].endswith(("_s", "_mib", "_ms", "_bytes", "_mhz", "_w")), row.name


def test_a_field_without_a_row_is_refused() -> None:
    class Part(TypedDict):
        known: int

    with pytest.raises(TypeError, match="known has no row"):
        fields.of(Part)


def test_the_document_shows_the_rows_as_they_are_now() -> None:
    text = record_fields.DOCUMENT.read_text(encoding="utf-8")
    assert text == record_fields.document(), "run python -m bcdl.report.record_fields"


def test_the_document_has_a_line_for_every_row() -> None:
    lines = [line for line in record_fields.document().splitlines() if line.startswith("| `")]
    lines = [line for line in lines if line.split("|")[1].strip() not in RANGES]  # those are of units
    named = {line.split("`")[1] for line in lines}
    for shape, skip in ((Record, 1), (Experiment, 0), (Finding, 0)):
        for row in rows(shape, elsewhere=(Listed, Environment) if shape is not Record else (Listed,)):
            names = {row.name, ".".join(row.path[skip:]).replace(".[]", "[]")}
            assert names & named or len(row.path) == 1 or row.path[0] == "cell", row.name
    assert not any(re.search("<|>", re.sub("`[^`]*`", "", line)) for line in lines)  # they would be tags
    keys = {f"<{key}>" for key in KEYS}
    assert keys <= named
    assert {line.count("|") for line in lines if line.split("`")[1] not in keys} == {6}


def test_the_document_is_written_in_a_checkout_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_fields, "DOCUMENT", tmp_path / "docs" / "records.md")
    with pytest.raises(UsageError, match="run it in a checkout"):
        record_fields.main()
    assert list(tmp_path.iterdir()) == []
