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
