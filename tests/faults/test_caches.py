"""A cache that is damaged, or can't be used, costs time and nothing else, and that is told."""

from __future__ import annotations

import errno
import io
import os
import pwd
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl import datasets
from bcdl.datasets import cache
from bcdl.datasets.sources import folder
from tests.faults.conftest import Injected

KEY = cache.key_of("rules")
IMAGES = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
ROW = (2, 2, 3)
Told = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("empty_cache")


# A cache that can't be used: all goes on without


@pytest.fixture(params=["a file", "read-only", "no home"])
def unusable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A cache folder that can't be; words of why."""
    if request.param == "a file":
        (tmp_path / "cache").write_bytes(b"")
        return "Not a directory"
    if request.param == "read-only":

        def refuse(*arguments: object, **options: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(tempfile, "mkstemp", refuse)
        return "Read-only file system"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])  # nor does the system know the user
    return "there is no home folder; set HOME or XDG_CACHE_HOME"


def test_without_a_cache_images_are_decoded_and_that_is_told_once(
    unusable: str, tmp_path: Path, capsys: Told, injected: Injected
) -> None:
    data = folder.example(tmp_path / "data")
    with injected("cache_folders"):
        first, again = (datasets.load(datasets.Request(data, 8)) for _ in range(2))
        assert first.checksum == again.checksum
        assert len(first.leaks().duplicates.identical) == 0
        told = capsys.readouterr().err
        assert told.count("note: ") == told.count("could not be cached") == 1
        assert unusable in told
        assert {path.name for path in tmp_path.iterdir()} <= {"data", "cache"}


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_disk_that_is_full_in_the_middle_costs_the_entry_and_nothing_else(
    room: int, monkeypatch: pytest.MonkeyPatch, capsys: Told, injected: Injected
) -> None:
    """Rows that were written before come back from the file, with a part of a row behind them."""
    original, written = cache._write_all, 0

    def write(file: Any, content: Any) -> None:
        nonlocal written
        written += 1
        if written > room:
            original(file, bytes(content)[:5])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(file, content)

    monkeypatch.setattr(cache, "_write_all", write)
    with injected("cache_folders"):
        with cache.Rows(IMAGES.dtype, ROW, len(IMAGES)) as rows:
            for place in range(len(IMAGES)):
                rows.append(IMAGES[place : place + 1])
            np.testing.assert_array_equal(rows.finish(KEY), IMAGES)
        assert list(cache.folder().iterdir()) == []
        assert "could not be cached (No space left on device)" in capsys.readouterr().err


def test_loading_uses_no_entry_that_was_damaged(tmp_path: Path, capsys: Told, injected: Injected) -> None:
    """Each of what was once used without a word, in the entry that a folder of images is loaded from."""
    request = datasets.Request(folder.example(tmp_path / "data"), 8)
    wanted = datasets.load(request).checksum
    size = 1024 + 24 * 8 * 8 * 3  # of the header, and of the images of that folder
    (entry,) = (file for file in cache.folder().iterdir() if file.stat().st_size == size)
    whole = entry.read_bytes()
    header, images = whole[:1024], np.frombuffer(whole[1024:], np.uint8).reshape(-1, 8, 8, 3)
    for row, other in enumerate((np.invert(images), images[::-1], images.astype(float), images[:, ::2], images[:0])):
        for column, content in enumerate((header + other.tobytes(), other.tobytes(), npy(other), b"")):
            entry.write_bytes(content)
            cache._tell.cache_clear()
            with injected("cache_entries", names=[f"images {row}, written as {column}"]):
                assert datasets.load(request).checksum == wanted
                assert entry.read_bytes() == whole
                assert "note: an entry of the cache is" in capsys.readouterr().err


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
