"""Records are appended, all of them read back, and a folder that can't be used is found out early."""

from pathlib import Path

import pytest

from bcdl.errors import UsageError
from bcdl.records import disk, store
from tests.factory import record


def test_records_come_back_in_the_order_of_their_runs(tmp_path: Path) -> None:
    later, earlier = record(run="20260102T000000Z-aaaa"), record(run="20260101T000000Z-bbbb")
    for each in (later, earlier, earlier):
        store.append(tmp_path, "a-machine", each)
    records, problems = store.read_all(tmp_path)
    assert records == [("a-machine", earlier), ("a-machine", earlier), ("a-machine", later)]
    assert problems == []


def test_a_run_is_one_file_of_lines(tmp_path: Path) -> None:
    file = store.append(tmp_path, "a-machine", record())
    assert file == tmp_path / "records" / "a-machine" / f"{record().run}.jsonl"
    store.append(tmp_path, "a-machine", record())
    assert len(file.read_text().splitlines()) == 2


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


@pytest.mark.parametrize("name", ["README.md", "tables", "plots", "cards", "records", "parity", "experiments", "local"])
@pytest.mark.parametrize("target", ["outside", "results/inside", "nowhere"])
def test_a_link_in_the_place_of_ours_is_refused(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / "results" / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "results" / name).symlink_to(tmp_path / target)
    with pytest.raises(UsageError, match=f"{name} is a link"):
        store.check_writable(tmp_path / "results")
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("name", ["tables", "plots", "cards", "records", "parity", "experiments", "local"])
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
