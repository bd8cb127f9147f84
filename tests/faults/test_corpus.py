"""The corpus of hostile images, archives and tables: each is read, left out or refused on one line."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import datasets, leaks
from bcdl.datasets import Dataset, LabelsTable, Request, decode
from bcdl.errors import UsageError
from tests.corpus import Hostile, arrays, pictures, tables
from tests.faults.conftest import Injected
from tests.faults.watched import watched
from tests.in_process import InProcess

SPRUNG = "/nonexistent/sprung"  # what code in a file would make; `watched` sees the attempt
JPEG_LOSS = 8  # levels, of the smooth gradient that `pictures.PIXELS` is

Make = Callable[[], Iterator[Hostile]]


def dicoms() -> Iterator[Hostile]:
    pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    from tests.corpus import medical

    return medical.dicoms()


PICTURES: dict[str, Make] = {
    "png_files": pictures.pngs,
    "jpeg_files": pictures.jpegs,
    "tiff_files": pictures.tiffs,
    "bmp_files": pictures.bmps,
    "gif_files": pictures.gifs,
    "webp_files": pictures.webps,
    "other_files": lambda: pictures.others(SPRUNG),
    "dicom_files": dicoms,
}
ARRAYS: dict[str, Make] = {
    "npz_pickles": lambda: arrays.pickles(SPRUNG),
    "npz_headers": arrays.claims,
    "npz_types": arrays.types,
    "npz_archives": arrays.archives,
}
TABLES: dict[str, Make] = {
    "table_encodings": tables.encodings,
    "table_shapes": tables.shapes,
    "table_lookalikes": lambda: tables.lookalikes(SPRUNG),
    "table_cells": tables.cells,
}
ALL = {**PICTURES, **ARRAYS, **TABLES}


def test_the_corpus_is_large_and_the_same_each_time() -> None:
    made = {fault: list(make()) for fault, make in ALL.items()}
    assert sum(map(len, made.values())) >= 300
    for fault, files in made.items():
        assert len({file.name for file in files}) == len(files), fault
        again = [hashlib.sha256(file.content).digest() for file in ALL[fault]()]
        assert again == [hashlib.sha256(file.content).digest() for file in files], fault


def save_noise(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)).save(file)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def writable(empty_cache: None, tmp_path: Path) -> Path:
    """The one folder that reading data may write into."""
    return tmp_path / "cache"


@pytest.fixture
def leaks_of(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], writable: Path
) -> Callable[[Path], str]:
    """What is wrong with what `bcdl leaks` does, in this process, with a folder; and what it prints."""
    run = InProcess(monkeypatch, capfd)

    def attempt(data: Path) -> str:
        before = files_in(data)
        with watched(writable) as deeds:
            code, out, err = run(leaks.main, data)
        assert (code, err, deeds) == (0, "", []), out
        assert files_in(data) == before
        assert all(letter.isprintable() or letter == "\n" for letter in out), ascii(out)
        return out

    return attempt


@pytest.mark.parametrize("fault", PICTURES)
def test_a_hostile_picture_is_read_as_what_it_is_or_counted(
    fault: str, tmp_path: Path, leaks_of: Callable[[Path], str], injected: Injected
) -> None:
    save_noise(tmp_path / "data" / "benign" / "sound.png", 0)
    for file in PICTURES[fault]():
        path = tmp_path / "data" / "malignant" / file.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.content)
        with injected(fault, names=[file.name]):
            said = leaks_of(tmp_path / "data")
            reads = "1 unreadable images left out" not in said
            assert reads == file.reads or file.reads is None, file.name
            check_pixels(path, reads, must=file.reads is True)
        path.unlink()


def check_pixels(path: Path, reads: bool, must: bool) -> None:
    """Assert that a file which can be read, or not, is so one by one; and that it is right if it `must` be."""
    if not reads:
        with pytest.raises(ValueError, match=r"\w") as caught:
            decode.read_picture(path, 1000)
        assert str(caught.value).isprintable()
        return
    shown = decode.read_picture(path, 1000).astype(int)
    if must:
        assert min(np.abs(shown - right).max() for right in (pictures.PIXELS, pictures.GREY[..., None])) <= JPEG_LOSS


def test_all_hostile_pictures_at_once_are_named_or_counted(
    tmp_path: Path, writable: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for number in range(8):
        save_noise(data / ("benign", "malignant")[number % 2] / f"sound-{number}.png", number)
    refused = [file for make in PICTURES.values() for file in make() if file.reads is False]
    for number, file in enumerate(refused):
        (data / "benign" / f"{number}-{file.name}").write_bytes(file.content)
    with watched(writable) as deeds, pytest.raises(UsageError, match=f"{len(refused)} unreadable images.*--skip-un"):
        datasets.load(Request(str(data), image_size=8))
    with watched(writable) as deeds_of_skipping:
        loaded = datasets.load(Request(str(data), image_size=8, skip_unreadable=True))
    assert deeds + deeds_of_skipping == []
    assert f"{len(refused)} unreadable images skipped" in loaded.notices
    assert sum(len(part) for part in loaded.splits.values()) == 8
    assert capfd.readouterr() == ("", "")


def outcome(request: Request, writable: Path) -> Dataset | str:
    """The data set, or the one line that refuses it."""
    with watched(writable) as deeds:
        try:
            made: Dataset | str = datasets.load(request)
        except UsageError as error:
            made = str(error)
    assert deeds == []
    return made


def check_outcome(made: Dataset | str, file: Hostile, name: str) -> None:
    """Assert that a file is read or refused as it should be, and that its refusal is one line that names it."""
    assert file.reads is None or isinstance(made, Dataset) == file.reads, (file.name, made)
    if isinstance(made, str):
        assert made.isprintable(), (file.name, made)
        assert len(made) < 700, (file.name, made)
        assert name in made, (file.name, made)
        assert file.says in made, (file.name, made)


@pytest.mark.parametrize("fault", ARRAYS)
def test_a_hostile_archive_is_read_as_what_it_is_or_refused(
    fault: str, tmp_path: Path, writable: Path, injected: Injected
) -> None:
    for file in ARRAYS[fault]():
        (tmp_path / file.name).write_bytes(file.content)
        with injected(fault, names=[file.name]):
            made = outcome(Request(str(tmp_path / file.name), image_size=28), writable)
            check_outcome(made, file, file.name)
            if isinstance(made, Dataset):
                read = made.splits["train"]
                assert (read.images == arrays.arrays()[arrays.FIRST][..., None]).all(), file.name
                assert read.labels.tolist() == [1, 0] * 6, file.name
        (tmp_path / file.name).unlink()
        assert not list(tmp_path.parent.glob("slipped*"))


@pytest.mark.parametrize("option", ["groups.csv", "--labels"])
@pytest.mark.parametrize("fault", TABLES)
def test_a_hostile_table_is_read_as_what_it_is_or_refused(
    fault: str, option: str, tmp_path: Path, writable: Path, injected: Injected
) -> None:
    data = tmp_path / "data"
    for number, name in enumerate(tables.NAMES):
        save_noise(data / name, number)
    for file in TABLES[fault]():
        by_labels = option == "--labels"
        if not by_labels and not file.name.endswith(".csv"):
            continue
        table = tmp_path / file.name if by_labels else data / option
        table.write_bytes(file.content)
        with injected(fault, names=[f"{option} {file.name}"]):
            given = LabelsTable(str(table)) if by_labels else None
            made = outcome(Request(str(data), image_size=8, labels=given), writable)
            check_outcome(made, file, table.name)
            if file.reads and isinstance(made, Dataset):
                check_pairs(made)
        table.unlink()


def check_pairs(made: Dataset) -> None:
    """Assert that each pair of images has a group of its own, and each image its class."""
    parts = made.splits.values()
    names, groups = (list(itertools.chain(*(getattr(part, what) for part in parts))) for what in ("names", "groups"))
    labels = list(itertools.chain(*(part.labels for part in parts)))
    of_name = {name: (group, label) for name, group, label in zip(names, groups, labels, strict=True)}
    assert sorted(of_name) == sorted(tables.NAMES)
    assert all(of_name[name][1] == (name.split("/")[0] == "malignant") for name in tables.NAMES)
    pairs = [{of_name[name][0] for name in tables.NAMES[place : place + 2]} for place in range(0, len(names), 2)]
    assert [len(pair) for pair in pairs] == [1] * len(pairs)
    assert len(set.union(*pairs)) == len(pairs)
