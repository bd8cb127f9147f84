"""Whatever a file of records holds, each line is a record or a told problem, and a report is made of what is there."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from bcdl.records import disk, log, store
from bcdl.records.record import SCHEMA, Record
from bcdl.report import group_sections, plots, run_table
from bcdl.report import page as report
from tests import pages
from tests.conftest import ROOT
from tests.factory import as_of_older, record
from tests.faults import mutation
from tests.faults.conftest import Injected

COUNT = 10_000
LINES_A_FILE = 500
MACHINE = "a-machine"


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Mutations of the stored examples of every schema, of made-up records, failed ones too, and of measured ones."""
    whole = [
        file.read_text(encoding="utf-8").strip() for file in (ROOT / "tests" / "records" / "schemas").glob("*.json")
    ]
    # A line of today that was changed is left out whatever it says: see test_changed_lines.
    whole += [json.dumps(as_of_older(made)) for made in (record(), record(status="out_of_memory"))]
    measured = sorted((ROOT / "results" / "records").glob("*/*.jsonl"))[0]
    whole += measured.read_text(encoding="utf-8").splitlines()[:2]
    return list(mutation.mutated(whole, COUNT, seed=20240229))


def test_every_mutated_line_is_a_record_or_a_reported_problem(
    lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    """Reports of a few hundred at a time, without their plots: each hostile setting would be a group with its own."""
    monkeypatch.setattr(plots, "modules", dict)
    monkeypatch.setattr(group_sections, "_FEWEST_GROUPS", 10**9)  # other processes would make them
    monkeypatch.setattr(Record, "marks", ())  # all of these claim to be a few records
    outcomes: Counter[bool] = Counter()
    for start in range(0, COUNT, LINES_A_FILE):
        chosen = lines[start : start + LINES_A_FILE]
        folder = tmp_path / str(start)
        file = folder / log.RECORDS / MACHINE / "20260101T000000Z-0000.jsonl"
        file.parent.mkdir(parents=True)
        good = record(run="20250101T000000Z-0000")
        store.append(folder, MACHINE, good)
        file.write_bytes(b"\n".join(chosen) + b"\n")
        with injected("mutated_records", names=[f"line {start + place}" for place in range(len(chosen))]) as tally:
            records, problems = store.read_all(folder)
            tally.lost += (MACHINE, good) not in records
            assert (MACHINE, good) in records
            assert len(records) - 1 + len(problems) == len(chosen)
            outcomes.update({True: len(records) - 1, False: len(problems)})
            newer = {problem.line for problem in problems if problem.newer}
            if newer:  # nothing is written then; the rest is reported without them
                assert "nothing was written or removed" in report.build(folder)[-1]
                assert not (folder / "README.md").exists()
                rest = [line for number, line in enumerate(chosen, start=1) if number not in newer]
                file.write_bytes(b"\n".join(rest) + b"\n")
            report.build(folder)
            assert pages.text(folder).count("<script") == 0
            run_table.print_run([entry for _, entry in records], Console(file=io.StringIO()))
    assert min(outcomes.values()) > COUNT / 20  # both kinds are tried


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.parametrize("field", ["status", "backend", "model", "precision", "device", "profile", "weights", "metric"])
def test_words_that_this_version_does_not_know_break_no_report(field: str, tmp_path: Path, injected: Injected) -> None:
    values = as_of_older(record(run="20260102T000000Z-0000"))
    if field == "status":
        values.update(status="melted", reason="too hot")
    elif field == "metric":
        values["metrics"]["joy"] = 1.0
    else:
        values["cell"][field] = "unheard-of"
    with injected("unknown_words") as tally:
        store.append(tmp_path, MACHINE, record(run="20260101T000000Z-0000"))
        store.append(tmp_path, MACHINE, Record.from_json(json.dumps(values)))
        tally.lost += 2 - len(store.read_all(tmp_path)[0])
        summary, *_ = report.build(tmp_path)
        page = pages.text(tmp_path)
        assert summary.startswith("2 records: ")
        assert field not in ("status", "backend", "model") or {"status": "melted"}.get(field, "unheard-of") in page


@pytest.mark.usefixtures("blank_pictures")
def test_a_newer_schema_is_refused_with_advice_and_costs_no_other(tmp_path: Path, injected: Injected) -> None:
    with injected("newer_schema") as tally:
        file = store.append(tmp_path, MACHINE, record())
        newer = json.dumps({**json.loads(record().to_json()), "schema": SCHEMA + 1, "more": {}})
        disk.append_line(file, newer)
        store.append(tmp_path, MACHINE, record(seed=1))
        records, (problem,) = store.read_all(tmp_path)
        tally.lost += 2 - len(records)
        assert str(problem).endswith(
            f"line 2: schema {SCHEMA + 1} is newer than this bcdl reads ({SCHEMA}); update bcdl"
        )
        assert problem.newer
        assert str(problem) in " ".join(report.build(tmp_path))


def test_many_records_are_read(tmp_path: Path, request: pytest.FixtureRequest, injected: Injected) -> None:
    """All of them where the page of faults is written, which tells how long it took; elsewhere a part."""
    count = 100_000 if request.config.getoption("--reliability", None) else 5_000
    for number in range(100):
        made = record(run=f"20260101T0000{number:02d}Z-0000", windows=100)
        values = as_of_older(made)
        lines = [json.dumps({**values, "block": f"r/{place}"}) for place in range(count // 100)]
        line = lines[0]
        file = tmp_path / log.RECORDS / MACHINE / f"{made.run}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([*lines, "broken\n"]), encoding="utf-8")
    with injected("many_records") as tally:
        start = time.perf_counter()
        records, problems = store.read_all(tmp_path)
        tally.note = f"; {len(records):,} of {len(line)} bytes in {time.perf_counter() - start:.0f} s"
        tally.lost += count - len(records)
        assert (len(records), len(problems)) == (count, 100)
