"""Images, archives and tables from anywhere are inert: a data set, or a UsageError that names the file."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bcdl import datasets
from bcdl.datasets import SPLITS, Dataset, Request, decode
from bcdl.datasets.sources import folder, medmnist
from bcdl.errors import UsageError
from bcdl.report import tables
from bcdl.report.plots import style
from tests.faults.conftest import Injected

MUTATIONS_A_FORMAT = 300
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
HOSTILE_NAME = "a|b\n<script>alert(1)</script>$x$[link](http://x)\x1b[31m\u202egnp'\"`"


def load(data: str, **options: bool) -> Dataset:
    return datasets.load(Request(data, image_size=8, **options))


def outcome(kind: type[Exception], attempt: Callable[[], Any]) -> tuple[Any, str]:
    """What the attempt gives, and the message of an error of that kind; any other error is a failure."""
    try:
        return attempt(), ""
    except kind as error:
        return None, str(error)


def mutations(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`content` with bytes changed, cut, left out, or repeated."""
    source = random.Random(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(source.randint(1, 6)):
            place, length = source.randrange(len(changed) or 1), source.randint(1, 16)
            kind = source.randrange(5)
            if kind == 0:
                changed[place : place + 1] = bytes([source.randrange(256)])
            elif kind == 1:
                changed[place : place + length] = b"\xff" * length
            elif kind == 2:
                del changed[place : place + length]
            elif kind == 3:
                changed[place:place] = changed[place : place + length]
            else:
                del changed[max(place, 8) :]
        yield bytes(changed)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_mutated_image_is_an_image_or_a_message(format_: str, tmp_path: Path, injected: Injected) -> None:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, format=format_)
    file = tmp_path / f"image.{format_.lower()}"
    outcomes = set()
    for number, content in enumerate(mutations(stream.getvalue(), MUTATIONS_A_FORMAT, seed=1)):
        with injected("mutated_images", names=[f"{format_} {number}"]):
            file.write_bytes(content)
            image, message = outcome(ValueError, lambda: decode.read_image(file, 8))
            assert message or (image.shape, image.dtype) == ((8, 8, 3), np.uint8)
            assert str(tmp_path) not in message
            outcomes.add(bool(message))
    assert outcomes == ({True} if format_ == "PNG" else {True, False})  # whose checksums tell each mutation


def test_a_data_set_with_a_broken_image_names_it(tmp_path: Path, injected: Injected) -> None:
    data = folder.example(tmp_path)
    victim = next((Path(data) / "benign").iterdir())
    for number, content in enumerate(mutations(victim.read_bytes(), 30, seed=2)):
        with injected("mutated_images", names=[f"in a data set {number}"]):
            victim.write_bytes(content)
            _, message = outcome(UsageError, lambda: load(data))
            if message:
                assert f"benign/{victim.name}" in message
                assert "use --skip-unreadable" in message
                assert "unreadable images skipped" in " ".join(load(data, skip_unreadable=True).notices)


def test_a_mutated_archive_is_a_data_set_or_a_message(tmp_path: Path, injected: Injected) -> None:
    file = Path(medmnist.example(tmp_path))
    whole = file.read_bytes()
    file.unlink()
    messages = 0
    mutated = tmp_path / "mutated.npz"
    for number, content in enumerate(mutations(whole, 2 * MUTATIONS_A_FORMAT, seed=3)):
        with injected("mutated_archives", names=[f"mutation {number}"]):
            mutated.write_bytes(content)
            loaded, message = outcome(UsageError, lambda: load(str(mutated)))
            assert loaded or "mutated" in message
            messages += bool(message)
    assert messages > MUTATIONS_A_FORMAT


class Trap:
    """What a pickle of it runs when it is loaded."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._file),)


def arrays() -> dict[str, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    labels = np.arange(12, dtype=np.uint8)[:, None] % 2
    return {f"{split}_{kind}": part for split in SPLITS for kind, part in (("images", pixels), ("labels", labels))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": None}, "lacks an array"),
        ({"val_labels": None}, "lacks an array"),
        ({"train_images": np.zeros((12, 28), np.uint8)}, r"images uint8\[12, 28\]"),
        ({"train_images": np.zeros((12, 28, 28, 4), np.uint8)}, "wanted are uint8"),
        ({"train_images": np.zeros((12, 0, 28), np.uint8)}, "wanted are uint8"),
        ({"train_images": np.zeros((0, 28, 28), np.uint8)}, "wanted are uint8"),
        ({"train_images": np.zeros((12, 28, 28), np.float32)}, "images float32"),
        ({"test_labels": np.zeros(11, np.uint8)}, r"labels \[11\]"),
        ({"test_labels": np.full(12, 7)}, r"labels \[7\]"),
        ({"test_labels": np.full(12, np.nan)}, "labels of type float64"),
        ({"test_labels": np.array(["a"] * 12)}, "labels of type <U1"),
    ],
)
def test_arrays_that_are_not_as_they_should_be_are_reported(
    changes: dict[str, np.ndarray | None], message: str, tmp_path: Path, injected: Injected
) -> None:
    chosen = {name: part for name, part in {**arrays(), **changes}.items() if part is not None}
    np.savez(tmp_path / "a.npz", **chosen)
    with injected("wrong_arrays"), pytest.raises(UsageError, match=message):
        load(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("name", ["train_images", "test_labels"])
def test_no_pickle_is_ever_loaded(name: str, tmp_path: Path, injected: Injected) -> None:
    trap = np.array([Trap(tmp_path / "sprung")] * 12, dtype=object)
    np.savez(tmp_path / "a.npz", **{**arrays(), name: trap})
    says = r"a\.npz is not a plain \.npz of arrays, or is refused"
    with injected("pickles", names=[f"in {name}"]), pytest.raises(UsageError, match=says):
        load(str(tmp_path / "a.npz"))
    (tmp_path / "a.npz").write_bytes(pickle.dumps(trap))
    with injected("pickles", names=[f"in place of {name}"]), pytest.raises(UsageError, match="is not a plain"):
        load(str(tmp_path / "a.npz"))
    assert not (tmp_path / "sprung").exists()


def header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def archive(file: Path, first: bytes, zeros: int = 0) -> str:
    """An archive whose first array is `first` and so many zeros, which hardly take any room."""
    np.savez(file, **arrays())
    with zipfile.ZipFile(file) as whole:
        others = {name: whole.read(name) for name in whole.namelist() if name != "train_images.npy"}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
        with written.open("train_images.npy", "w", force_zip64=True) as stream:
            stream.write(first)
            for _ in range(zeros // 2**20):
                stream.write(bytes(2**20))
        for name, content in others.items():
            written.writestr(name, content)
    return str(file)


def test_a_small_archive_that_claims_gigabytes_is_refused_before_they_are_there(
    tmp_path: Path, injected: Injected
) -> None:
    claimed = archive(tmp_path / "claimed.npz", header((10**7, 1000, 1000)))
    with injected("bombs", names=["claimed arrays"]), pytest.raises(UsageError, match="holds another number of bytes"):
        load(claimed)
    zeros = 1100 * 2**20
    real = archive(tmp_path / "real.npz", header((zeros // 2**10, 32, 32)), zeros)
    assert Path(real).stat().st_size < 2**23
    says = "its arrays would take 1100 MiB; 1024 MiB are the most"
    with injected("bombs", names=["real arrays"]), pytest.raises(UsageError, match=says):
        load(real)


def claiming_png(width: int, height: int) -> bytes:
    """A PNG of one pixel whose header claims more."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, format="PNG")
    signature, rest = stream.getvalue()[:8], stream.getvalue()[33:]
    fields = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return signature + struct.pack(">I", 13) + fields + struct.pack(">I", zlib.crc32(fields)) + rest


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1)], ids=str)
def test_a_picture_that_claims_gigabytes_is_refused_before_they_are_there(
    size: tuple[int, int], tmp_path: Path, injected: Injected
) -> None:
    data = Path(folder.example(tmp_path))
    (data / "benign" / "bomb.png").write_bytes(claiming_png(*size))
    with injected("bombs"), pytest.raises(UsageError, match=r"benign/bomb\.png.*pixels"):
        load(str(data))


def test_a_table_of_groups_opens_no_path(tmp_path: Path, injected: Injected) -> None:
    data = Path(folder.example(tmp_path))
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))
    rows = [(name, name.split("/")[0], f"g{number}") for number, name in enumerate(names)]
    outside = ("../../etc/passwd", "/etc/passwd", "benign/../x.png", "C:\\x.png", "\\\\server\\x.png", "~/x.png")
    for path in outside:
        table = [*rows, (path, "benign", "x")]
        (data / "groups.csv").write_text("path,class,group\n" + "".join(f"{','.join(row)}\n" for row in table))
        with injected("paths", names=[path]):
            loaded = load(str(data))
            assert "1 rows of groups.csv name no image that is used here: ignored" in loaded.notices
            assert sum(len(part) for part in loaded.splits.values()) == len(names)


LONG_GROUPS = ("g" * 1000, "g" * 2**17, "g" * 2**21, "g\u0301" * 2**19, "\U0001f9a0" * 2**19)


@pytest.mark.parametrize("group", LONG_GROUPS, ids=range(len(LONG_GROUPS)))
def test_a_table_with_a_field_of_megabytes_is_reported(group: str, tmp_path: Path, injected: Injected) -> None:
    data = Path(folder.example(tmp_path))
    (data / "groups.csv").write_text(f"path,class,group\nbenign/x.png,benign,{group}\n")
    with injected("huge_fields"), pytest.raises(UsageError, match=r"groups\.csv"):
        load(str(data))


def test_links_out_of_the_folder_are_left_out_and_reported(tmp_path: Path, injected: Injected) -> None:
    data = Path(folder.example(tmp_path))
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (9, 9)).save(outside / "secret.png")
    (data / "benign" / "link.png").symlink_to(outside / "secret.png")
    (data / "benign" / "away").symlink_to(outside)
    (data / "benign" / "inside.png").symlink_to(next((data / "benign").glob("SOB*.png")).name)
    with injected("links", names=["a file", "a folder"]):
        loaded = load(str(data))
        names = {name for part in loaded.splits.values() for name in part.names}
        assert "benign/inside.png" in names
        assert not [name for name in names if "link" in name or "away" in name]
        assert "2 links out of the folder left out: copy the files into it" in loaded.notices


def test_a_class_folder_that_leads_out_is_no_class(tmp_path: Path, injected: Injected) -> None:
    data = Path(folder.example(tmp_path))
    (data / "benign").rename(tmp_path / "elsewhere")
    (data / "benign").symlink_to(tmp_path / "elsewhere")
    with injected("links"), pytest.raises(UsageError, match=r"has no benign images.*no links out of it"):
        load(str(data))


def test_hostile_names_reach_people_escaped(tmp_path: Path, injected: Injected) -> None:
    data = Path(folder.example(tmp_path))
    broken = data / "benign" / (HOSTILE_NAME.replace("/", "") + ".png")
    broken.write_bytes(b"no image")
    with injected("names"):
        with pytest.raises(UsageError) as caught:
            load(str(data))
        assert not {"\n", "\x1b", "\u202e"} & set(str(caught.value))
        columns = (tables.words("model"), tables.figures(HOSTILE_NAME))
        page = tables.Table("t", columns, ((tables.word(HOSTILE_NAME), tables.count(1)),)).to_markdown()
        assert len(page.splitlines()) == 5
        assert not [part for part in ("<script", "$x$", "](http", "\x1b", "\u202e") if part in page]
        assert all(line.count("|") == 3 for line in page.splitlines()[2:])
        assert not {"\n", "\x1b", "\u202e"} & set(style.plain(HOSTILE_NAME))
        assert "$" not in style.plain(HOSTILE_NAME).replace(r"\$", "")
