"""What is handed to a cluster, and its file, which each node reads a line of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import BcdlError
from bcdl.records import runs, store
from bcdl.runner.cluster import submission
from bcdl.runner.cluster.submission import FILE, Array, Header, Submission, Task, in_arrays, in_order
from bcdl.runner.stored import Marks
from tests.factory import job, record

RUN = "20260101T000000Z-0123456789ab"
MARKS = Marks("c" * 64, {"clean": True}, None)


def header(count: int) -> Header:
    return Header(RUN, count, "4h", None, ("-m", "x"), 7, "2026-01-01T00:00:00.000+00:00")


def tasks(count: int) -> list[Task]:
    return [Task(job(seed=seed), f"/a python/{seed}") for seed in range(count)]


def written(results: Path, count: int = 3) -> Submission:
    return Submission.write(results, header(count), tasks(count), [MARKS])


def test_what_is_written_is_read_again_as_a_whole_and_by_the_line(tmp_path: Path) -> None:
    made = written(tmp_path)
    read = Submission.read(made.folder)
    assert read == made
    assert read.tasks() == [read.task(index) for index in range(3)] == tasks(3)
    assert (read.results, read.marks_of(read.task(1))) == (tmp_path, MARKS)
    assert submission.all_of(tmp_path) == [made]


def test_the_file_is_json_for_whoever_reads_it(tmp_path: Path) -> None:
    values = json.loads((written(tmp_path).folder / FILE).read_text(encoding="utf-8"))
    assert [task["job"]["cell"]["seed"] for task in values["tasks"]] == [0, 1, 2]
    assert values["header"]["run"] == RUN


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"header": {}, "tasks": [', '{"header": 3, "tasks": [\n]}', "[" * 9999]
)
def test_a_file_that_is_damaged_is_no_submission(tmp_path: Path, content: str) -> None:
    (written(tmp_path).folder / FILE).write_text(content)
    assert submission.all_of(tmp_path) == []


def test_a_line_that_is_damaged_is_an_error_in_a_line(tmp_path: Path) -> None:
    made = written(tmp_path)
    file = made.folder / FILE
    file.write_text(file.read_text().replace('"seed": 1', '"seed": "x"'))
    assert made.task(0) == tasks(3)[0]
    for read in (lambda: made.task(1), lambda: made.task(9), made.tasks):
        with pytest.raises(BcdlError, match="submit the cells again"):
            read()


def test_a_task_has_an_id_and_a_folder_of_its_own_within_the_run(tmp_path: Path) -> None:
    made = written(tmp_path)
    assert runs.is_run_id(made.id_of(12))
    assert runs.folder_of(tmp_path, made.id_of(12)) == made.folder_of(12) == made.folder / "tasks" / "12"
    assert runs.folder_of(tmp_path, RUN) == made.folder


@given(
    kinds=st.lists(st.tuples(st.sampled_from(["cpu", "gpu"]), st.booleans()), max_size=40),
    most=st.integers(min_value=1, max_value=9),
)
def test_arrays_hold_every_task_once_none_more_than_it_may_and_each_of_one_kind(
    kinds: list[tuple[str, bool]], most: int
) -> None:
    asked = [Task(job(device=device, timing=timing, seed=seed), "p") for seed, (device, timing) in enumerate(kinds)]
    ordered = in_order(asked)
    arrays = list(in_arrays(ordered, most))
    assert sorted(task.job.cell.seed for task in ordered) == list(range(len(kinds)))
    assert [index for array in arrays for index in array.tasks] == list(range(len(kinds)))
    assert all(1 <= array.count <= most for array in arrays)
    assert all(len({ordered[index].kind for index in array.tasks}) == 1 for array in arrays)


def test_what_was_submitted_is_known_after_a_driver_was_killed_in_between(tmp_path: Path) -> None:
    made = written(tmp_path)
    made.note(Array(0, 2))
    made.note(Array(0, 2, "100"))
    made.note(Array(2, 1))
    assert made.arrays() == [Array(0, 2, "100"), Array(2, 1)]
    with (made.folder / submission.ARRAYS).open("a") as lines:
        lines.write('{"first": 2, "cou')
    assert made.arrays() == [Array(0, 2, "100"), Array(2, 1)]


def test_a_record_is_one_when_its_line_is_whole(tmp_path: Path) -> None:
    made = written(tmp_path)
    assert made.recorded() == {}
    file = store.append(tmp_path, "m", record(run=made.id_of(2)))
    assert made.recorded() == {2: [file]}
    assert submission.is_recorded([file])
    file.write_bytes(file.read_bytes()[:-1])
    assert not submission.is_recorded([file])
    assert not submission.is_recorded([tmp_path / "none"])


def test_records_of_other_runs_are_none_of_it(tmp_path: Path) -> None:
    made = written(tmp_path)
    for run in (RUN, f"{RUN}-a", f"{RUN[:-1]}c-0"):
        store.append(tmp_path, "m", record(run=run))
    assert made.recorded() == {}
