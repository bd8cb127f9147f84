"""The way home of logs: every line arrives once, in order, and nothing that was there is touched."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.records import archive, store
from tests import factory
from tests.conftest import ROOT

RUN, OTHER = "20261121T142328Z-af84", "20261122T142328Z-af84"


def away(folder: Path, seeds: list[int], run: str = RUN) -> Path:
    """The archive of a results folder with a record for each seed."""
    for seed in seeds:
        store.append(folder, "a-gpu", factory.record(run=run, seed=seed))
    return archive.pack(folder, folder / "results.tar.gz")


def seeds(results: Path) -> list[int]:
    records, problems = store.read_all(results)
    assert not problems
    return [record.cell.seed for _, record in records]


def tar(file: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(file, "w:gz") as made:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
            made.addfile(member, io.BytesIO(content))
    return file


@given(st.lists(st.lists(st.integers(0, 99), max_size=3), min_size=1, max_size=3))
def test_every_line_arrives_once_however_often_a_run_comes_home(parts: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        measured, home = Path(folder) / "away", Path(folder) / "home"
        for part in parts:
            file = away(measured, part)
            archive.unpack(file, home)
            again = archive.unpack(file, home)
            assert not again.added
        assert seeds(home) == [seed for part in parts for seed in part]


def test_what_comes_home_comes_after_what_was_there(tmp_path: Path) -> None:
    """The machine counts from one; a cell's newest record is known by its count."""
    home = tmp_path / "home"
    for seed in (0, 1, 2):
        store.append(home, "a-gpu", factory.record(run=RUN, seed=seed))
    before = next((home / "records").glob("*/*.jsonl")).read_bytes()
    done = archive.unpack(away(tmp_path / "away", [7, 8], OTHER), home)
    assert dict(done.added) == {f"records/a-gpu/{OTHER}.jsonl": 2}
    assert seeds(home) == [0, 1, 2, 7, 8]
    assert (home / "records" / "a-gpu" / f"{RUN}.jsonl").read_bytes() == before
    counts = [record.sequence for _, record in store.read_all(home)[0]]
    assert counts == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "name",
    [
        f"../records/a-gpu/{RUN}.jsonl",
        f"/records/a-gpu/{RUN}.jsonl",
        f"records/../{RUN}.jsonl",
        f"records/.git/{RUN}.jsonl",
        f"records/a-gpu/more/{RUN}.jsonl",
        f"tables/a-gpu/{RUN}.jsonl",
        "records/a-gpu/notes.jsonl",
        "README.md",
    ],
)
def test_nothing_is_written_but_logs_in_their_places(name: str, tmp_path: Path) -> None:
    line = factory.record(run=RUN).to_json().encode() + b"\n"
    done = archive.unpack(tar(tmp_path / "a.tar.gz", (name, line)), tmp_path / "home")
    assert (done.ignored, dict(done.added)) == ([name], {})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tar.gz", (f"records/a-gpu/{RUN}.jsonl", b""), kind=tarfile.SYMTYPE)
    assert archive.unpack(file, tmp_path / "home").ignored
    assert not (tmp_path / "home").exists()


def test_a_torn_line_and_one_of_another_run_are_left_out_and_counted(tmp_path: Path) -> None:
    whole = factory.record(run=RUN).to_json()
    lines = "\n".join([whole, factory.record(run=OTHER).to_json(), whole[: len(whole) // 2]])
    done = archive.unpack(tar(tmp_path / "a", (f"records/a-gpu/{RUN}.jsonl", lines.encode())), tmp_path / "home")
    assert (done.torn, sum(done.added.values())) == (2, 1)
    assert seeds(tmp_path / "home") == [0]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + bytes(40)])
def test_what_is_no_archive_is_an_error_of_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UsageError, match="can't be read as an archive of records"):
        archive.unpack(tmp_path / "a", tmp_path / "home")


def test_an_archive_that_was_cut_off_gives_what_it_holds_and_an_error(tmp_path: Path) -> None:
    file = away(tmp_path / "away", list(range(5)))
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UsageError, match="bring it home again"):
        archive.unpack(file, tmp_path / "home")


def test_the_command_adds_says_so_and_reports(tmp_path: Path) -> None:
    file, home = away(tmp_path / "away", [3]), tmp_path / "home"
    command = [sys.executable, "-m", "bcdl", "unpack", "--results", str(home)]
    for wanted in ("1 lines added, 0 were there already", "0 lines added, 1 were there already"):
        done = subprocess.run([*command, str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert wanted in done.stdout
    done = subprocess.run([*command, str(home)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert json.loads(next(home.glob("records/*/*.jsonl")).read_text())["sequence"] == 1
