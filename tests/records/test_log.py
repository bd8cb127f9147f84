"""The log: whatever happens to a file, no entry of it is lost, and no byte of anybody else's is touched."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl import compare
from bcdl.records import log, runs, store
from bcdl.records.schema import SCHEMA
from tests import pages
from tests.conftest import ROOT
from tests.factory import record, with_rates
from tests.in_process import completed

RUN = record().run
MACHINE = "a-machine"
COMMITTED = "amd-epyc-2-cores"


def torn(folder: Path) -> Path:
    """A file of one record and half of another."""
    file = store.append(folder, MACHINE, record())
    with file.open("a") as lines:
        lines.write(record().to_json()[:50])
    return file


def test_a_torn_last_line_is_reported_and_the_others_kept(tmp_path: Path) -> None:
    torn(tmp_path)
    records, (problem,) = store.read_all(tmp_path)
    assert len(records) == 1
    assert str(problem) == (
        f"records/a-machine/{RUN}.jsonl, line 2: a torn last line of 50 bytes: its writer was ended midway, or is at "
        "it; the next run sets it aside"
    )


def test_a_torn_last_line_is_set_aside_and_lost_to_nobody(tmp_path: Path) -> None:
    file = torn(tmp_path)
    (notice,) = log.repair(tmp_path)
    assert "50 bytes was set aside" in notice
    assert file.with_suffix(".torn").read_text() == record().to_json()[:50] + "\n"
    assert store.read_all(tmp_path) == ([(MACHINE, record())], [])
    assert log.repair(tmp_path) == []


@pytest.mark.parametrize("name", log.LOGS)
def test_every_log_is_mended_alike(tmp_path: Path, name: str) -> None:
    log.append(tmp_path, name, MACHINE, RUN, lambda _: record().to_json())
    file = log.append(tmp_path, name, MACHINE, RUN, lambda _: record().to_json())
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"schema": 1, "ru')
    assert len(log.repair(tmp_path)) == 1
    assert file.read_bytes() == whole
    file.write_bytes(whole[:-1])
    (notice,) = log.repair(tmp_path)
    assert notice == f"{file.name}: its last line lacked its end and has it now"
    assert file.read_bytes() == whole


def test_the_line_of_a_run_under_way_is_left_alone(tmp_path: Path) -> None:
    file = torn(tmp_path)
    before = file.read_bytes()
    with runs.adopt(tmp_path, RUN):
        code = f"from bcdl.records import log; from pathlib import Path\nprint(log.repair(Path({str(tmp_path)!r})))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert file.read_bytes() == before


def test_a_bad_line_in_the_middle_costs_no_other(tmp_path: Path) -> None:
    file = store.append(tmp_path, MACHINE, record())
    with file.open("ab") as lines:
        lines.write(b"\xff\x00{\n\n" + record(seed=1).to_json().encode() + b"\n")
    records, problems = store.read_all(tmp_path)
    assert len(records) == 2
    assert [problem.line for problem in problems] == [2, 3]


def test_a_file_that_cannot_be_read_is_reported_and_costs_no_other(tmp_path: Path) -> None:
    store.append(tmp_path, MACHINE, record())
    (tmp_path / "records" / MACHINE / "20270101T000000Z-0000.jsonl").mkdir()
    os.mkfifo(tmp_path / "records" / MACHINE / "20270101T000000Z-0001.jsonl")
    (tmp_path / "records" / MACHINE / "20270101T000000Z-0002.jsonl").symlink_to("nowhere")
    assert log.repair(tmp_path) == []
    records, problems = store.read_all(tmp_path)
    assert len(records) == 1
    assert list(map(str, problems)) == [
        "records/a-machine/20270101T000000Z-0000.jsonl: can't be read (Is a directory)",
        "records/a-machine/20270101T000000Z-0001.jsonl: can't be read (neither a file nor a folder)",
        "records/a-machine/20270101T000000Z-0002.jsonl: can't be read (No such file or directory)",
    ]


def test_a_file_in_the_place_of_the_log_is_reported(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("mine")
    assert log.repair(tmp_path) == []
    records, (problem,) = store.read_all(tmp_path)
    assert (records, str(problem)) == ([], "records: can't be read (Not a directory)")


def test_a_newer_schema_is_known_as_such(tmp_path: Path) -> None:
    file = store.append(tmp_path, MACHINE, record())
    newer = {**json.loads(record().to_json()), "schema": SCHEMA + 1, "more": {}}
    file.write_text(json.dumps(newer) + "\n" + json.dumps({**newer, "schema": "7"}) + "\n" + json.dumps(newer))
    problems = store.read_all(tmp_path)[1]
    assert [problem.newer for problem in problems] == [True, False, True]
    assert "update bcdl" in str(problems[0])


VISITS = b'{"patient": 7, "visit": "2026-01-01"}\n{"patient": 8, "visit": "2026-'


@pytest.mark.parametrize("name", ["visits.jsonl", f"{RUN}.jsonl", "2026.jsonl"])
@pytest.mark.parametrize(
    "content", [VISITS, VISITS + b'02-02"}\n', VISITS[38:], b"\x00\x01", b"{}\n[1", b'{"schema": 1}']
)
def test_a_file_of_somebody_else_is_left_alone_and_reported_once(tmp_path: Path, name: str, content: bytes) -> None:
    store.append(tmp_path, MACHINE, record())
    file = tmp_path / "records" / "clinic" / name
    file.parent.mkdir()
    file.write_bytes(content)
    assert log.repair(tmp_path) == []
    records, (problem,) = store.read_all(tmp_path)
    assert records == [(MACHINE, record())]
    assert "left alone" in str(problem)
    assert problem.foreign == (not runs.is_run_id(file.stem))
    assert file.read_bytes() == content
    assert [entry.name for entry in file.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", log.LOGS)
def test_a_file_of_no_more_than_a_torn_line_is_known_by_how_lines_begin(tmp_path: Path, name: str) -> None:
    """Every line that was ever committed, cut anywhere in what all of ours begin with, or far behind it."""
    for committed in (ROOT / "results" / name).glob("*/*.jsonl"):
        line = committed.read_bytes().partition(b"\n")[0]
        for length in (1, 5, 11, 13, 20, 40, 60, 200):
            file = log.file_of(tmp_path, name, MACHINE, committed.stem)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(line[:length])
            assert len(log.repair(tmp_path)) == 1
            assert file.read_bytes() == b""
            file.with_suffix(".torn").unlink()
            file.write_bytes(line[:length].replace(b"schema", b"schemb").replace(b"2026", b"2027"))
            assert len(log.repair(tmp_path)) == (length < 9)
            file.unlink()


def test_records_under_another_name_are_no_foreign_file(tmp_path: Path) -> None:
    """Or a report would draw its tables without them."""
    file = store.append(tmp_path, MACHINE, record())
    file.rename(file.with_name("before.jsonl"))
    records, (problem,) = store.read_all(tmp_path)
    assert records == []
    assert not problem.foreign
    assert "give it back its name" in str(problem)


@pytest.mark.parametrize("name", log.LOGS)
@pytest.mark.parametrize("place", ["{file}", f"{MACHINE}/backup/{{file}}", f"{MACHINE}/a/b/{{file}}"])
def test_a_log_in_a_wrong_place_is_reported_with_the_right_one(tmp_path: Path, name: str, place: str) -> None:
    """Or a report would draw its tables without it, and remove those that were made from it."""
    store.append(tmp_path, MACHINE, record(run="20260101T000000Z-0001"))
    file = log.append(tmp_path, name, MACHINE, RUN, lambda _: json.dumps({"schema": 1, "run": RUN}))
    elsewhere = tmp_path / name / place.format(file=file.name)
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    file.rename(elsewhere)
    (elsewhere.parent / "visits.jsonl").write_text('{"mine": 1}\n')
    before = elsewhere.read_bytes()
    done = completed("report", "--results", tmp_path)
    assert done.returncode == 1, done.stdout
    shown = elsewhere.relative_to(tmp_path).as_posix()
    assert (
        f"not read: {shown}: it lies in no machine's folder; move it to {name}/MACHINE/{file.name}\n"
    ) in done.stdout
    assert "1 line or file of" in done.stderr
    assert log.repair(tmp_path) == []
    assert elsewhere.read_bytes() == before


def test_no_link_is_mended(tmp_path: Path) -> None:
    """Neither a file nor a folder of a machine that lies elsewhere."""
    file = torn(tmp_path / "elsewhere")
    before = file.read_bytes()
    here = tmp_path / "results" / "records"
    (here / MACHINE).mkdir(parents=True)
    (here / MACHINE / file.name).symlink_to(file)
    (here / "another").symlink_to(file.parent)
    assert log.repair(tmp_path / "results") == []
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_nothing_is_set_aside_through_a_link(tmp_path: Path) -> None:
    file = torn(tmp_path)
    before = file.read_bytes()
    (tmp_path / "mine").write_text("mine")
    file.with_suffix(".torn").symlink_to(tmp_path / "mine")
    (notice,) = log.repair(tmp_path)
    assert "can't be mended" in notice
    assert (file.read_bytes(), (tmp_path / "mine").read_text()) == (before, "mine")


def test_a_line_never_grows_into_a_torn_one(tmp_path: Path) -> None:
    torn(tmp_path)
    store.append(tmp_path, MACHINE, record(seed=1))
    records, (problem,) = store.read_all(tmp_path)
    assert [each.cell.seed for _, each in records] == [0, 1]
    assert problem.line == 2


LINES = [record(seed=seed).to_json().encode() + b"\n" for seed in range(3)]
WHOLE = b"".join(LINES)
APPENDED = st.one_of(
    st.just(b""), st.binary(max_size=40), st.sampled_from([LINES[0][:-1], b'{"schema": 6, "run', b"5"])
)


@given(st.integers(0, len(WHOLE)), APPENDED)
def test_of_any_beginning_of_a_file_with_anything_behind_it_every_whole_record_is_read(cut: int, more: bytes) -> None:
    content = WHOLE[:cut] + more
    records = {line for line in content.split(b"\n") if line + b"\n" in LINES}
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        file = log.file_of(results, "records", MACHINE, RUN)
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        first, problems = store.read_all(results)
        assert records <= {each.to_json().encode() for _, each in first}
        log.repair(results)
        again, problems_after = store.read_all(results)
        assert again == first
        assert len(problems_after) <= len(problems)
        aside = file.with_suffix(".torn")
        kept = file.read_bytes() + (aside.read_bytes() if aside.exists() else b"")
        assert kept in (content, content + b"\n")  # every byte is there, and at most an end of a line more
        assert log.repair(results) == []


@given(st.binary(max_size=60), st.sampled_from(["visits", "20260101T000000Z-0000-C", "a", RUN + " (1)"]))
def test_no_byte_of_a_file_with_another_name_is_touched(content: bytes, stem: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = log.file_of(Path(folder), "records", "clinic", stem)
        file.parent.mkdir(parents=True)
        file.write_bytes(WHOLE + content)
        assert log.repair(Path(folder)) == []
        assert file.read_bytes() == WHOLE + content
        assert store.read_all(Path(folder))[0] == []


# Through commands.


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with records, and with parity and experiments of the committed results."""
    folder = tmp_path / "results"
    store.append(folder, COMMITTED, record())
    for name in ("parity", "experiments"):
        file = sorted((ROOT / "results" / name / COMMITTED).glob("*.jsonl"))[0]
        (folder / name / COMMITTED).mkdir(parents=True)
        shutil.copy(file, folder / name / COMMITTED)
    return folder


def sides(folder: Path, share: float) -> list[Path]:
    """The record files of two sides in turn, the second at `share` of the first one's rates."""
    files = []
    for side, factor in (("a", 1.0), ("b", share)):
        for number in range(8):
            made = record(run=f"20260102T000000Z-0000-{side}")
            made = with_rates(made, **dict.fromkeys(("fit", "step", "predict"), (100 + number % 3) * factor))
            made = dataclasses.replace(made, block=f"x/{number}", side=side)
            file = store.append(folder, COMMITTED, made)
        files.append(file)
    return files


BAD = {
    "torn": b'{"schema": 1, "run": "20',
    "no UTF-8": b"\xff\xfe\n",
    "another shape": b'{"schema": 1, "run": "20260101T000000Z-0000"}\n',
    "newer": b'{"schema": 99, "run": "20260101T000000Z-0000"}\n',
    "numbers that are words": b'{"schema": 2, "run": "20260101T000000Z-0000", "name": 1, "ways": 5, "a": ["x"]}\n',
    "nested": b"[" * 100_000 + b"\n",
    "empty": b"\n",
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["parity", "experiments"])
def test_compare_works_whatever_stands_in_the_other_logs(results: Path, name: str, bad: str) -> None:
    files = sides(results, 0.5)
    with next((results / name / COMMITTED).glob("*.jsonl")).open("ab") as lines:
        lines.write(BAD[bad])
    (results / name / COMMITTED / "20260101T000000Z-0000.jsonl").write_bytes(BAD[bad])
    (results / name / COMMITTED / "20260101T000000Z-0001.jsonl").mkdir()
    (results / name / "x").write_text("mine")
    done = completed("compare", *files)
    assert done.returncode == 1, done.stderr
    assert "slower by more than 3.0%" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad != "newer"])
def test_compare_reports_what_it_cannot_read_of_a_file_and_goes_on(results: Path, bad: str) -> None:
    a, b = sides(results, 0.5)
    with b.open("ab") as lines:
        lines.write(BAD[bad])
    done = completed("compare", a, b)
    assert done.returncode == 1, done.stderr
    assert f"not read: {b}, line 9: " in done.stderr
    assert f"{b}: compared without what could not be read in 1 place" in done.stderr
    assert "slower by more than 3.0%" in done.stdout


def test_compare_refuses_what_a_newer_bcdl_wrote(results: Path) -> None:
    a, b = sides(results, 0.5)
    with a.open("ab") as lines:
        lines.write(BAD["newer"])
    done = completed("compare", a, b)
    assert done.returncode == 2
    assert done.stderr == f"error: {a}, line 9: schema 99 is newer than this bcdl reads ({SCHEMA}); update bcdl\n"


def test_compare_counts_a_last_record_that_only_lacks_its_end(results: Path) -> None:
    a, b = sides(results, 0.5)
    b.write_bytes(b.read_bytes()[:-1])
    done = completed("compare", a, b)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "slower by more than 3.0%" in done.stdout
    assert [len(compare.read(file)) for file in (a, b)] == [3 * 8, 3 * 8]  # three regimes of eight rounds


@pytest.mark.parametrize("name", log.LOGS)
def test_a_report_survives_a_torn_line_in_every_log(results: Path, name: str) -> None:
    file = next((results / name / COMMITTED).glob("*.jsonl"))
    with file.open("ab") as lines:
        lines.write(BAD["torn"])
    done = completed("report", "--results", results)
    assert "Traceback" not in done.stderr
    assert f"not read: {name}/{COMMITTED}/{file.name}, line" in done.stdout
    assert (results / "README.md").is_file()


def test_a_report_counts_a_last_record_that_only_lacks_its_end(results: Path) -> None:
    file = store.append(results, COMMITTED, record(seed=1))
    file.write_bytes(file.read_bytes()[:-1])
    done = completed("report", "--results", results)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 records and 7 parity findings")


def test_a_log_of_somebody_else_is_a_note_of_the_report(results: Path) -> None:
    visits = results / "records" / "clinic" / "visits.jsonl"
    visits.parent.mkdir()
    visits.write_bytes(VISITS)
    done = completed("report", "--results", results)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("records/clinic/visits.jsonl: not a log of bcdl; left alone") == 1
    assert visits.read_bytes() == VISITS
    assert "visits" not in pages.text(results)
    assert completed("report", "--results", results, "--check").returncode == 0


@pytest.mark.parametrize("count", [10**9 + 1, 10**15, 10**20])
def test_a_count_that_no_log_can_have_is_refused_and_followed_by_none(tmp_path: Path, count: int) -> None:
    file = tmp_path / "records" / MACHINE / f"{RUN}.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**json.loads(record(run=RUN).to_json()), "sequence": count}) + "\n", encoding="utf-8")
    store.append(tmp_path, MACHINE, record(run=RUN, seed=1))
    read, problems = store.read_all(tmp_path)
    assert [made.sequence for _, made in read] == [1]
    assert "more than a log can have" in str(problems[0])


def test_counts_are_seen_however_json_is_spaced(tmp_path: Path) -> None:
    file = tmp_path / "records" / MACHINE / f"{RUN}.jsonl"
    file.parent.mkdir(parents=True)
    values = {**json.loads(record(run=RUN).to_json()), "sequence": 50}
    file.write_text(json.dumps(values, separators=(",", ":")) + "\n", encoding="utf-8")
    store.append(tmp_path, MACHINE, record(run=RUN, seed=1))
    read, _ = store.read_all(tmp_path)
    assert [made.sequence for _, made in read] in ([50, 51], [51])
