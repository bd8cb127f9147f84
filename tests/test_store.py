"""Records are appended, all of them read back, and a folder that can't be written is found out early."""

from pathlib import Path

import pytest

from bcdl import store
from bcdl.errors import UsageError
from tests.factory import record


def test_records_come_back_in_the_order_of_their_runs(tmp_path: Path) -> None:
    later, earlier = record(run="20260102T000000Z-aaaa"), record(run="20260101T000000Z-bbbb")
    for one in (later, earlier, earlier):
        store.append(tmp_path, "a-machine", one)
    records, problems = store.read_all(tmp_path)
    assert records == [("a-machine", earlier), ("a-machine", earlier), ("a-machine", later)]
    assert problems == []


def test_a_run_is_one_file_of_lines(tmp_path: Path) -> None:
    file = store.append(tmp_path, "a-machine", record())
    assert file == tmp_path / "records" / "a-machine" / f"{record().run}.jsonl"
    store.append(tmp_path, "a-machine", record())
    assert len(file.read_text().splitlines()) == 2


def test_a_torn_line_is_reported_and_the_others_kept(tmp_path: Path) -> None:
    file = store.append(tmp_path, "a-machine", record())
    with file.open("a") as lines:
        lines.write(record().to_json()[:50])
    records, problems = store.read_all(tmp_path)
    assert len(records) == 1
    assert len(problems) == 1
    assert "line 2" in problems[0]


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"can't be written .* choose another with --results"):
        store.check_writable(tmp_path / "file")
    with pytest.raises(UsageError, match="could not be written"):
        store.append(tmp_path / "file", "a-machine", record())


def test_run_ids_sort_by_time_and_do_not_collide() -> None:
    ids = [store.new_run_id() for _ in range(20)]
    assert len(set(ids)) > 1
    assert [one[:16] for one in ids] == sorted(one[:16] for one in ids)
