"""The cache of decoded images: an array comes back, and one that can't be kept leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bcdl.datasets import cache

IMAGES = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)


def test_an_array_comes_back(tmp_path: Path) -> None:
    cache.write(tmp_path / "folder" / "entry.npy", IMAGES)
    np.testing.assert_array_equal(cache.read(tmp_path / "folder" / "entry.npy"), IMAGES)
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["entry.npy"]


def test_a_damaged_entry_is_none(tmp_path: Path) -> None:
    (tmp_path / "entry.npy").write_bytes(b"\x93NUMPY cut")
    assert cache.read(tmp_path / "entry.npy") is None
    assert cache.read(tmp_path / "missing.npy") is None


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(file: Path, images: np.ndarray) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", half)
    cache.write(tmp_path / "entry.npy", IMAGES)
    assert list(tmp_path.iterdir()) == []
    assert "could not be cached (No space left on device)" in capsys.readouterr().err
