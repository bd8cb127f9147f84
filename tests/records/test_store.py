"""Records are appended, all of them read back, and a folder that can't be written is found out early."""

import subprocess
import sys
from pathlib import Path

import pytest

from bcdl.errors import UsageError
from bcdl.records import store
from tests.conftest import ROOT
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


def torn(folder: Path) -> Path:
    """A file of one record and half of another."""
    file = store.append(folder, "a-machine", record())
    with file.open("a") as lines:
        lines.write(record().to_json()[:50])
    return file


def test_a_torn_last_line_is_reported_and_the_others_kept(tmp_path: Path) -> None:
    torn(tmp_path)
    records, problems = store.read_all(tmp_path)
    assert len(records) == 1
    assert problems == [
        f"a-machine/{record().run}.jsonl, line 2: a torn last line of 50 bytes: its writer was ended midway, or is at "
        "it; the next run sets it aside"
    ]


def test_a_torn_last_line_is_set_aside_and_lost_to_nobody(tmp_path: Path) -> None:
    file = torn(tmp_path)
    (told,) = store.set_aside_torn(tmp_path)
    assert "50 bytes was set aside" in told
    assert file.with_suffix(".torn").read_text() == record().to_json()[:50] + "\n"
    assert store.read_all(tmp_path) == ([("a-machine", record())], [])
    assert store.set_aside_torn(tmp_path) == []


def test_the_line_of_a_run_under_way_is_left_alone(tmp_path: Path) -> None:
    torn(tmp_path)
    with store.claim(tmp_path, record().run):
        # From another process: a lock's own holder may always take it.
        code = (
            "from bcdl.records import store; from pathlib import Path\n"
            f"print(store.set_aside_torn(Path({str(tmp_path)!r})))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bad_line_in_the_middle_costs_no_other(tmp_path: Path) -> None:
    file = store.append(tmp_path, "a-machine", record())
    with file.open("ab") as lines:
        lines.write(b"\xff\x00{\n\n" + record().to_json().encode() + b"\n")
    records, problems = store.read_all(tmp_path)
    assert len(records) == 2
    assert len(problems) == 2


def test_a_file_that_cannot_be_read_is_told_and_costs_no_other(tmp_path: Path) -> None:
    store.append(tmp_path, "a-machine", record())
    (tmp_path / "records" / "a-machine" / "20270101T000000Z-0000.jsonl").mkdir()
    assert store.set_aside_torn(tmp_path) == []
    records, problems = store.read_all(tmp_path)
    assert len(records) == 1
    assert problems == ["a-machine/20270101T000000Z-0000.jsonl: can't be read (Is a directory)"]


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"can't be written .* choose another folder with --results"):
        store.check_writable(tmp_path / "file")
    with pytest.raises(UsageError, match="can't be written"):
        store.append(tmp_path / "file", "a-machine", record())


def test_run_ids_sort_by_time_and_do_not_collide() -> None:
    ids = [store.new_run_id() for _ in range(20)]
    assert len(set(ids)) > 1
    assert [one[:16] for one in ids] == sorted(one[:16] for one in ids)
