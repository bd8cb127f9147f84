"""The way home of logs: every line arrives once, in order, and nothing that was there is touched."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.records import archive, log, store
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


def test_a_log_that_vanishes_while_others_are_packed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that another process sets aside."""
    store.append(tmp_path, "a-gpu", factory.record(run=RUN, seed=1))
    store.append(tmp_path, "a-gpu", factory.record(run=OTHER, seed=2))
    add = tarfile.TarFile.add

    def vanish(archive_: tarfile.TarFile, name: Path, *arguments: object, **named: object) -> None:
        if RUN in name.name:
            name.unlink()
        add(archive_, name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(tarfile.TarFile, "add", vanish)
    archive.unpack(archive.pack(tmp_path, tmp_path / "results.tar.gz"), tmp_path / "home")
    assert seeds(tmp_path / "home") == [2]


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
        assert seeds(home) == list(dict.fromkeys(seed for part in parts for seed in part))


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
    assert [(problem.file, problem.line) for problem in done.left_out] == [
        (f"records/a-gpu/{RUN}.jsonl", n) for n in (2, 3)
    ]
    assert sum(done.added.values()) == 1
    assert seeds(tmp_path / "home") == [0]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + bytes(40)])
def test_what_is_no_archive_is_an_error_of_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UsageError, match="can't be read as an archive of records") as raised:
        archive.unpack(tmp_path / "a", tmp_path / "home")
    assert "\n" not in str(raised.value)


def whole_archive() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return away(Path(folder), [3, 1, 2]).read_bytes()


WHOLE = whole_archive()


def unpacked(content: bytes) -> list[int] | None:
    """The seeds that come home in an archive of that content; None if it is refused, and then nothing is added."""
    with tempfile.TemporaryDirectory() as folder:
        file, home = Path(folder) / "a", Path(folder) / "home"
        file.write_bytes(content)
        try:
            done = archive.unpack(file, home)
        except UsageError:
            assert not home.exists()
            return None
        assert not done.left_out
        assert not done.ignored
        return seeds(home)


@given(st.integers(0, 8 * len(WHOLE) - 1))
def test_a_flipped_bit_changes_no_line_that_comes_home(bit: int) -> None:
    content = bytearray(WHOLE)
    content[bit // 8] ^= 1 << bit % 8
    assert unpacked(bytes(content)) in ([3, 1, 2], None)


@given(st.integers(0, len(WHOLE) - 1))
def test_of_an_archive_that_was_cut_off_nothing_is_added(length: int) -> None:
    assert unpacked(WHOLE[:length]) is None


@pytest.mark.parametrize("rest", [b"", b"damaged", bytes(512) + b"damaged"])
def test_an_archive_whose_list_of_files_is_damaged_adds_nothing(rest: bytes) -> None:
    """Its checksum is right, as that of one that was damaged before it was compressed."""
    plain = gzip.decompress(WHOLE).rstrip(b"\0")
    whole = plain.ljust(-(-len(plain) // 512) * 512, b"\0")
    assert unpacked(gzip.compress(whole + bytes(1024))) == [3, 1, 2]
    assert unpacked(gzip.compress(whole + rest.ljust(len(rest) and 1024, b"\0"))) is None


@pytest.mark.parametrize("compressed", [bytes, lzma.compress, bz2.compress])
def test_an_archive_without_the_checksum_of_gzip_is_refused(compressed: Callable[[bytes], bytes]) -> None:
    assert unpacked(compressed(gzip.decompress(WHOLE))) is None


def test_a_log_that_an_archive_holds_twice_is_refused(tmp_path: Path) -> None:
    member = (f"records/a-gpu/{RUN}.jsonl", factory.record(run=RUN).to_json().encode())
    assert unpacked(tar(tmp_path / "a", member, member).read_bytes()) is None


@given(st.lists(st.tuples(st.sampled_from([RUN, OTHER]), st.integers(0, 99)), unique=True))
def test_lines_come_home_in_the_order_of_the_machine_whatever_its_clock_said(lines: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        measured, home = Path(folder) / "away", Path(folder) / "home"
        for run, seed in lines:
            store.append(measured, "a-gpu", factory.record(run=run, seed=seed))
        archive.unpack(archive.pack(measured, measured / "a"), home)
        assert seeds(home) == [seed for _, seed in lines]


def test_two_at_once_add_no_line_twice(tmp_path: Path) -> None:
    file, home = away(tmp_path / "away", list(range(40))), tmp_path / "home"
    command = [sys.executable, "-m", "bcdl", "unpack", str(file), "--results", str(home)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert "40 lines added, 0 were there already" in said
    assert "0 lines added, 40 were there already" in said
    assert seeds(home) == list(range(40))


def unpack_command(home: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bcdl", "unpack", "--results", str(home), *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_torn_line_at_home_is_set_aside_first(tmp_path: Path) -> None:
    file, home = away(tmp_path / "away", [1, 2]), tmp_path / "home"
    there = store.append(home, "a-gpu", factory.record(run=RUN, seed=1))
    there.write_text(there.read_text() + factory.record(run=RUN, seed=2).to_json()[:40])
    done = unpack_command(home, file)
    assert (done.returncode, "torn last line of 40 bytes was set aside" in done.stdout) == (0, True), done.stderr
    assert seeds(home) == [1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"schema": 4, "run": "%s", "reason": "\xff"}', "no UTF-8"),
        (b'{"schema": 4, "run": "%s"}', "do not fit schema 4"),
        (b'{"schema": 999, "run": "%s", "sequence": 99999999999}', "sequence"),
        (b'{"schema": 999, "run": "%s", "sequence": -1}', "sequence"),
        (b'{"schema": 999, "run": "%s", "sequence": true}', "sequence"),
        (b"[" * 20000, "not a line of JSON"),
        (b"9" * 10000, "not a line of JSON"),
    ],
)
def test_what_no_reader_takes_is_left_out_and_told(line: bytes, reason: str, tmp_path: Path) -> None:
    line = line.replace(b"%s", RUN.encode())
    done = archive.unpack(tar(tmp_path / "a", (f"records/a-gpu/{RUN}.jsonl", line)), tmp_path / "home")
    (problem,) = done.left_out
    assert reason in str(problem)
    assert not (tmp_path / "home" / "records").exists()
    said = unpack_command(tmp_path / "home", tmp_path / "a").stdout
    assert "note: 1 lines are left out, the first: records/a-gpu/" in said


def test_a_line_of_a_newer_bcdl_comes_home(tmp_path: Path) -> None:
    """Only its own count is another, not that of a part of it."""
    line = json.dumps({"schema": 999, "run": RUN, "sequence": 7, "more": {"sequence": 5}, "text": '"sequence": 3'})
    file = tar(tmp_path / "a", (f"records/a-gpu/{RUN}.jsonl", line.encode()))
    for added in (1, 0):
        assert sum(archive.unpack(file, tmp_path / "home").added.values()) == added
    (there,) = (tmp_path / "home").glob("records/*/*.jsonl")
    assert there.read_text() == line.replace('"sequence": 7', '"sequence": 1') + "\n"


def test_every_log_comes_home_by_the_command_whatever_its_lines_schema(tmp_path: Path) -> None:
    """The committed logs."""
    home = tmp_path / "home"
    done = unpack_command(home, archive.pack(ROOT / "results", tmp_path / "a"))
    assert (done.returncode, "left out" in done.stdout) == (0, False), done.stderr
    assert lengths(home) == lengths(ROOT / "results")


def lengths(results: Path) -> dict[str, int]:
    """The number of lines of each log."""
    files = [file for name in log.LOGS for file in (results / name).glob("*/*.jsonl")]
    return {file.relative_to(results).as_posix(): file.read_bytes().count(b"\n") for file in files}


@pytest.mark.parametrize("second", ["nosuch", "damaged"])
def test_nothing_is_added_if_one_of_the_archives_is_missing_or_damaged(second: str, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(WHOLE[:-9])
    done = unpack_command(tmp_path / "home", away(tmp_path / "away", [1]), tmp_path / second)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_link_at_home_is_not_written_through(is_folder: bool, tmp_path: Path) -> None:
    """Nothing is added to another run's file either."""
    store.append(tmp_path / "away", "a-gpu", factory.record(run=RUN))
    file, home, other = away(tmp_path / "away", [1], OTHER), tmp_path / "home", tmp_path / "other"
    there = log.file_of(home, log.RECORDS, "a-gpu", OTHER)
    link = there.parent if is_folder else there
    link.parent.mkdir(parents=True)
    other.mkdir() if is_folder else other.write_text("mine\n")
    link.symlink_to(other)
    with pytest.raises(UsageError, match="is a link, and would be written through"):
        archive.unpack(file, home)
    assert list(other.iterdir()) == [] if is_folder else other.read_text() == "mine\n"
    assert not log.file_of(home, log.RECORDS, "a-gpu", RUN).exists()


def test_a_file_in_the_place_of_a_folder_is_refused_before_a_line_is_added(tmp_path: Path) -> None:
    store.append(tmp_path / "away", "a-cpu", factory.record(run=OTHER))
    file, home = away(tmp_path / "away", [1]), tmp_path / "home"
    (home / "records").mkdir(parents=True)
    (home / "records" / "a-gpu").write_text("mine")
    with pytest.raises(UsageError, match="a-gpu is no folder"):
        archive.unpack(file, home)
    assert [path.name for path in (home / "records").iterdir()] == ["a-gpu"]


def test_what_can_not_be_read_at_home_is_not_blamed_on_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, home = away(tmp_path / "away", [1]), tmp_path / "home"
    there = store.append(home, "a-gpu", factory.record(run=RUN))
    original = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == there:
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UsageError, match=rf"{RUN}.jsonl can't be read \(Permission denied\)"):
        archive.unpack(file, home)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_at_home_is_refused(tmp_path: Path) -> None:
    file, there = away(tmp_path / "away", [1]), log.file_of(tmp_path / "home", log.RECORDS, "a-gpu", RUN)
    there.parent.mkdir(parents=True)
    os.mkfifo(there)
    with pytest.raises(UsageError, match="is no file"):
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
