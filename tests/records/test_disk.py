"""What is written to a disk is flushed to it before anybody relies on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bcdl.records import disk


def test_a_line_and_the_name_of_its_new_file_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    flush = os.fsync

    def watched(handle: int) -> None:
        flushed.append(Path(os.readlink(f"/proc/self/fd/{handle}")) if Path("/proc/self/fd").is_dir() else file)
        flush(handle)

    monkeypatch.setattr(os, "fsync", watched)
    file = tmp_path / "records" / "machine" / "run.jsonl"
    disk.append_line(file, "{}")
    assert flushed[0] == file
    assert len(flushed) == (4 if os.name == "posix" else 1)  # the line, then the names of the file and its folders
    disk.append_line(file, "{}")
    assert flushed[-1] == file


@pytest.mark.parametrize("place", ["folder", "file/below"])
def test_what_could_not_be_replaced_is_named_as_it_was_asked_for(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"folder|file") as refused:
        disk.replace(tmp_path / place, b"new")
    assert (refused.value.filename, refused.value.filename2) == (str(tmp_path / place), None)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "full"]
