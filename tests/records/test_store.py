"""Records are appended, all of them read back, and a folder that can't be used is found out early."""

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.records import disk, experiment, store
from bcdl.records.groups import group_records
from bcdl.records.record import Record, RecordError
from bcdl.statistics import experiments
from tests.factory import EXPERIMENT, as_of_older, record


def test_records_come_back_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    later, earlier = record(run="20260102T000000Z-aaaa"), record(run="20260101T000000Z-bbbb")
    last = record(run="20260101T000000Z-bbbb", seed=1)
    for each in (later, earlier, last):
        store.append(tmp_path, "a-machine", each)
    records, problems = store.read_all(tmp_path)
    assert records == [("a-machine", later), ("a-machine", earlier), ("a-machine", last)]
    assert [entry.sequence for _, entry in records] == [1, 2, 3]
    assert problems == []


def test_records_that_were_never_counted_come_first_in_the_order_of_their_runs(tmp_path: Path) -> None:
    """Those of older schemas: their writers did not count."""
    store.append(tmp_path, "a-machine", record(run="20250101T000000Z-0000"))
    for run in ("20260102T000000Z-aaaa", "20260101T000000Z-bbbb"):
        values = {**as_of_older(record(run=run)), "schema": 7}
        del values["sequence"]
        store.file_of(tmp_path, "a-machine", run).write_text(json.dumps(values) + "\n")
    records, problems = store.read_all(tmp_path)
    assert [entry.run[:8] for _, entry in records] == ["20260101", "20260102", "20250101"]
    assert problems == []


RUNS = st.builds("2026{:02}01T000000Z-{:04x}".format, st.integers(1, 12), st.integers(0, 3))
DAYS = st.builds("2026-{:02}-01T00:00:00.000+00:00".format, st.integers(1, 12))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["m", "n"]), RUNS, DAYS), min_size=1, max_size=8))
def test_the_newest_is_the_one_written_last_whatever_the_clocks_said(writes: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, (machine, run, day) in enumerate(writes):
            started = f"{day[:20]}{number:03}{day[23:]}"
            metrics = {"test_accuracy": number / 10}
            made = dataclasses.replace(record(run=run), started=started, ended=day, metrics=metrics)
            store.append(Path(folder), machine, made)
        records, problems = store.read_all(Path(folder))
        newest = {group.machine: group.records[0].value("test_accuracy") for group in group_records(records)}
    assert problems == []
    assert [entry.value("test_accuracy") for _, entry in records] == [number / 10 for number in range(len(writes))]
    assert newest == {machine: number / 10 for number, (machine, *_) in enumerate(writes)}


def test_every_log_is_in_the_order_in_which_it_was_written(tmp_path: Path) -> None:
    for number, year in enumerate((2026, 2025)):
        made = dataclasses.replace(EXPERIMENT, run=f"{year}0101T000000Z-0000", a=[number + 1.0] * 3)
        experiment.append(tmp_path, "m", made)
    made, _ = experiment.read_all(tmp_path)
    assert [entry.run[:4] for _, entry in made] == ["2026", "2025"]
    ((shown,),) = experiments.newest(made).values()
    assert shown.a == [2.0] * 3


def test_a_text_in_a_record_is_no_count(tmp_path: Path) -> None:
    for seed in range(2):
        hostile = dataclasses.replace(record(seed=seed), log_tail=['"sequence": 999}', '{"sequence": 999, '])
        store.append(tmp_path, "m", hostile)
    assert [entry.sequence for _, entry in store.read_all(tmp_path)[0]] == [1, 2]


@pytest.mark.parametrize("sequence", [-1, 1.5, "1", None, True])
def test_what_is_no_count_is_no_record(sequence: object) -> None:
    with pytest.raises(RecordError, match="sequence"):
        Record.from_json(json.dumps({**as_of_older(record()), "sequence": sequence}))


def test_a_run_is_one_file_of_lines(tmp_path: Path) -> None:
    file = store.append(tmp_path, "a-machine", record())
    assert file == tmp_path / "records" / "a-machine" / f"{record().run}.jsonl"
    store.append(tmp_path, "a-machine", record())
    assert len(file.read_text().splitlines()) == 2


def test_a_file_without_a_byte_is_named_and_is_no_loss(tmp_path: Path) -> None:
    whole = store.append(tmp_path, "m", record())
    (whole.parent / "20260102T000000Z-0000.jsonl").touch()
    records, (problem,) = store.read_all(tmp_path)
    assert len(records) == 1
    assert str(problem).startswith("records/m/20260102T000000Z-0000.jsonl: it is empty: ")
    assert not problem.is_loss


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"can't be written .* choose another folder with --results"):
        store.check_writable(tmp_path / "file")
    with pytest.raises(UsageError, match="can't be written"):
        store.append(tmp_path / "file", "a-machine", record())


@pytest.mark.parametrize("name", ["README.md", "manifest.json"])
@pytest.mark.parametrize("content", ["", "# My thesis\n", '{"name": "a web page", "files": {}}'])
def test_a_file_of_somebody_else_in_the_place_of_ours_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=rf"{name} is not of bcdl, .* move it away or choose another folder"):
        store.check_writable(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


def test_our_page_is_known_with_other_line_ends_and_not_where_it_is_quoted(tmp_path: Path) -> None:
    page = store.PAGE_START.encode()
    assert store.is_page(page)
    assert store.is_page(page.replace(b"\n", b"\r\n"))
    assert not store.is_page(b"# My thesis\n\nIts tables say:\n" + page)


@pytest.mark.parametrize(
    "name", ["README.md", "pages", "tables", "plots", "cards", "records", "parity", "experiments", "local"]
)
@pytest.mark.parametrize("target", ["outside", "results/inside", "nowhere"])
def test_a_link_in_the_place_of_ours_is_refused(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / "results" / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "results" / name).symlink_to(tmp_path / target)
    with pytest.raises(UsageError, match=f"{name} is a link"):
        store.check_writable(tmp_path / "results")
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("name", ["pages", "tables", "plots", "cards", "records", "parity", "experiments", "local"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=f"{name} is no folder"):
        store.check_writable(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_the_results_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "elsewhere")
    store.check_writable(tmp_path / "results")


def test_a_file_is_replaced_whole_and_no_other_is_touched(tmp_path: Path) -> None:
    file, neighbour = tmp_path / "table.csv", tmp_path / "table.csv.part"
    neighbour.write_text("mine")
    disk.replace(file, b"old")
    disk.replace(file, b"new")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {file.name: "new", neighbour.name: "mine"}


def test_a_file_that_cannot_be_replaced_stays_and_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "table.csv" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="table"):
        disk.replace(tmp_path / "table.csv", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]
