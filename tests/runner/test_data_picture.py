"""The picture of what the network sees, drawn before the first cell."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import datasets
from bcdl.datasets import LABELS, SPLITS, Dataset, Request
from bcdl.datasets.sources import folder, medmnist
from bcdl.runner import data_picture
from bcdl.runner.run import Run
from tests.factory import job

STRIP = 20  # pixels of the caption above each row


def load(data: str, size: int) -> Dataset:
    return datasets.load(Request(data, size))


@pytest.mark.parametrize("size", [8, 32, 150])
def test_a_row_for_each_split_and_class_shows_images_as_the_network_gets_them(size: int) -> None:
    dataset = load("synthetic-48", size)
    picture = np.asarray(data_picture.draw(data_picture.few(dataset)))
    row_height = STRIP + size + 2
    assert picture.shape[0] == 6 * row_height
    rows = [(split, kind) for split in SPLITS for kind in LABELS]
    for row, (split, kind) in enumerate(rows):
        part, top = dataset.splits[split], row * row_height
        images = part.images[part.labels == LABELS[kind]]
        assert (picture[top : top + STRIP, :200] == 0).any(), "a caption"
        np.testing.assert_array_equal(picture[top + STRIP : top + STRIP + size, :size], images[0])


def test_it_shows_images_from_all_over_a_split() -> None:
    dataset = load("synthetic-200", 8)
    shown, all_of_them = data_picture.few(dataset).train, dataset.train
    assert len(shown) == 24
    np.testing.assert_array_equal(shown.images[11], all_of_them.images[all_of_them.labels == 0][-1])


@pytest.mark.parametrize("source", ["synthetic", "folder", "npz"])
def test_every_run_draws_it_before_its_first_cell_and_says_where(source: str, tmp_path: Path) -> None:
    data = {"synthetic": lambda path: "synthetic-48", "folder": folder.example, "npz": medmnist.example}[source](
        tmp_path
    )
    run = Run([job(data), job(data, seed=1)], tmp_path / "results")
    lines = run.check()
    checksum = run.checksums[run.jobs[0].request]
    files = list((tmp_path / "results" / "local").glob("data-*"))
    assert [file.name for file in files] == [f"data-{datasets.name_of(data)}-{checksum[:8]}.png"]
    assert f"data set {datasets.name_of(data)}: what the network sees is in {files[0]}" in lines
    with Image.open(files[0]) as image:
        assert image.mode == "RGB"


def test_splits_of_the_same_images_share_one(tmp_path: Path) -> None:
    data = folder.example(tmp_path)
    run = Run([job(data, folds=3, fold=fold) for fold in range(3)], tmp_path / "results")
    run.check()
    assert len(list((tmp_path / "results" / "local").glob("data-*"))) == 1


def test_a_picture_that_can_not_be_drawn_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(shown: Dataset) -> Image.Image:
        raise MemoryError("no room")

    monkeypatch.setattr(data_picture, "draw", fail)
    lines = Run([job("synthetic-48")], tmp_path).check()
    assert "note: no picture of data set synthetic-48 was drawn (MemoryError: no room)" in lines
    assert not list((tmp_path / "local").glob("*.png"))


def test_a_picture_that_has_no_place_is_a_note_too(tmp_path: Path) -> None:
    """What removes the half of a picture failed over the note: with its folder a file, nothing can be asked of it."""
    (tmp_path / "local").write_bytes(b"in the way")
    shown = data_picture.few(load("synthetic-48", 8))
    note = data_picture.save(shown, data_picture.file_of(shown.name, "0123456789", tmp_path))
    assert note.startswith("note: no picture of data set synthetic-48 was drawn (FileExistsError: ")


def test_a_name_that_is_no_text_is_told_on_one_line(tmp_path: Path) -> None:
    data = folder.example(tmp_path)
    odd = Path(data).rename(tmp_path / "odd\n\x1b[31m")
    lines = Run([job(str(odd))], tmp_path / "results\n").check()
    assert all(line.isprintable() for line in lines), lines
    assert any(line.startswith(r"data set odd\n\x1b[31m: what the network sees is in ") for line in lines)
    dark = dataclasses.replace(load("synthetic-48", 8), name="odd\n")
    (tmp_path / "local").write_bytes(b"in the way")
    assert data_picture.save(dark, tmp_path / "local" / "a.png").startswith(r"note: no picture of data set odd\n was")


def test_one_that_would_be_too_large_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_picture, "_MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="pixels would be too many"):
        data_picture.draw(data_picture.few(load("synthetic-48", 8)))
