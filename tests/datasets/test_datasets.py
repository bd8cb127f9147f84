"""Data sets: every source keeps one contract; splits cut no group; bad images are named."""

from __future__ import annotations

import csv
import functools
import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bcdl import datasets
from bcdl.datasets import LABELS, SPLITS, Pool, Request, sources, split
from bcdl.datasets.decode import read_image
from bcdl.datasets.sources import medmnist
from bcdl.errors import UsageError


def save(file: Path, pixels: np.ndarray | Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file)


def noise(seed: int, shape: tuple[int, ...] = (10, 14, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def class_folders(root: Path, count: int = 12, names: str = "{index}.png") -> Path:
    for number, kind in enumerate(LABELS):
        for index in range(count):
            save(root / kind / names.format(index=index, kind=kind[0].upper()), noise(100 * number + index))
    return root


@pytest.mark.parametrize("name", list(sources.modules()))
def test_every_source_keeps_the_contract(name: str, tmp_path: Path) -> None:
    source = sources.modules()[name]
    data = source.example(tmp_path)
    assert [other for other, module in sources.modules().items() if module.accepts(data)] == [name]
    assert source.is_name(data) == datasets.is_name(data) == (not Path(data).exists())
    first, again = (datasets.load(Request(data, image_size=32)) for _ in range(2))
    assert first.checksum == again.checksum
    assert first.name == datasets.name_of(data)
    assert str(tmp_path) not in first.name
    for part in first.splits.values():
        assert part.images.shape == (len(part), 32, 32, 3)
        assert part.images.dtype == np.uint8
        assert part.labels.dtype == np.int64
        assert set(part.labels.tolist()) == {0, 1}
        assert not any(str(tmp_path) in name for name in part.names)
    other_size = datasets.load(Request(data, image_size=33))
    assert other_size.checksum != first.checksum
    for split_name in SPLITS:
        np.testing.assert_array_equal(other_size.splits[split_name].names, first.splits[split_name].names)


def test_synthetic_is_called_so_and_a_name_always_means_the_same_images() -> None:
    dataset = datasets.load(Request("synthetic-36", image_size=16))
    assert dataset.synthetic
    # A changed drawing is another data set: give it another seed and say so in the changelog.
    assert zlib.crc32(dataset.train.images.tobytes()) == SYNTHETIC_36_AT_16


SYNTHETIC_36_AT_16 = 2313044958


# The examples ask for a dozen data sets, again and again.
drawn_once = functools.cache(sources.modules()["synthetic"].read)
loaded_alone = functools.cache(datasets.load)


@given(st.lists(st.tuples(st.sampled_from((12, 16)), st.sampled_from((0, 2)), st.integers(0, 1), st.booleans())))
@settings(max_examples=20)
def test_a_loader_gives_what_load_gives(asked: list[tuple[int, int, int, bool]]) -> None:
    load = datasets.loader()
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(sources.modules()["synthetic"], "read", drawn_once)
        for size, folds, fold, by_group in asked:
            request = Request("synthetic-48", size, by_group=by_group, folds=folds, fold=fold if folds else 0)
            loaded, wanted = load(request), loaded_alone(request)
            assert (loaded.checksum, loaded.notices) == (wanted.checksum, wanted.notices)


def test_a_loader_reads_the_images_of_all_folds_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    synthetic = sources.modules()["synthetic"]
    original = synthetic.read
    monkeypatch.setattr(synthetic, "read", lambda request: read.append(request) or original(request))
    load = datasets.loader()
    folds = [load(Request("synthetic-48", 8, folds=3, fold=fold)) for fold in (0, 0, 1, 2)]
    assert len(read) == 1
    assert folds[0] is folds[1]
    assert len({fold.checksum for fold in folds}) == 3
    load(Request("synthetic-48", 8, split_seed=1))
    assert len(read) == 2


def test_a_name_that_no_source_reads_lists_what_is_read() -> None:
    with pytest.raises(UsageError, match=r"no data set 'nowhere': use ") as raised:
        datasets.load(Request("nowhere", image_size=32))
    assert all(source.READS in str(raised.value) for source in sources.modules().values())


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6)), min_size=10, max_size=40),
    st.integers(0, 1000),
)
@settings(max_examples=40)
def test_no_split_cuts_a_group_and_all_are_used(groups: list[tuple[int, int]], seed: int) -> None:
    groups = [*groups, (0, 1), (0, 1), (0, 1), (1, 1), (1, 1), (1, 1)]
    labels = np.concatenate([[label] * size for label, size in groups])
    names = np.concatenate([[f"g{i}"] * size for i, (_, size) in enumerate(groups)])
    pool = Pool("made up", True, np.zeros((len(labels), 1, 1, 3), np.uint8), labels, names, names)
    request = Request("made up", 1, seed)
    parts, _ = split.split(pool, request)
    again, _ = split.split(pool, request)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(labels)))
    for name in SPLITS:
        np.testing.assert_array_equal(parts[name], again[name])
        assert set(labels[parts[name]]) == {0, 1}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(names[parts[first]]) & set(names[parts[second]])


@given(st.integers(2, 5), st.integers(0, 100), st.booleans())
@settings(max_examples=20)
def test_every_image_is_tested_in_one_fold(folds: int, seed: int, by_group: bool) -> None:
    labels = np.repeat([0, 1], 30)
    names, groups = (np.array([f"{index // size}" for index in range(60)]) for size in (1, 3))
    pool = Pool("made up", True, np.zeros((60, 1, 1, 3), np.uint8), labels, groups, names)
    requests = [Request("made up", 1, seed, by_group=by_group, folds=folds, fold=fold) for fold in range(folds)]
    tested = [split.split(pool, request)[0]["test"] for request in requests]
    assert sorted(np.concatenate(tested)) == list(range(60))
    assert len({tuple(part) for part in tested}) == folds


def test_another_seed_gives_another_split(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    tests = {tuple(datasets.load(Request(str(tmp_path / "set"), 8, seed)).test.names) for seed in range(5)}
    assert len(tests) > 1


def test_folders_that_are_split_are_used_as_they_stand(tmp_path: Path) -> None:
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "test", count=3)
    dataset = datasets.load(Request(str(tmp_path), 8))
    assert {name.split("/")[0] for name in dataset.test.names} == {"test"}
    assert {name.split("/")[0] for name in [*dataset.train.names, *dataset.val.names]} == {"train"}
    assert any("carved from train" in notice for notice in dataset.notices)


def test_a_patient_on_both_sides_of_a_given_split_is_reported(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", names="SOB_{kind}_X-14-{index}A-400-001.png")
    class_folders(tmp_path / "test", count=2, names="SOB_{kind}_X-14-{index}A-400-002.png")
    lines = datasets.load(Request(str(tmp_path), 8)).leaks().notices()
    assert any(line.startswith("LEAK: 2 groups in two splits") and "14-0A" in line for line in lines)


def test_other_classes_and_stray_files_are_counted(tmp_path: Path) -> None:
    class_folders(tmp_path)
    save(tmp_path / "normal" / "1.png", noise(1))
    (tmp_path / "benign" / "notes.txt").write_text("a note")
    (tmp_path / "README").write_text("another")
    notices = datasets.load(Request(str(tmp_path), 8)).notices
    assert "1 images of class 'normal' left out" in notices
    assert "2 stray files left out" in notices


@pytest.mark.parametrize("present", [[], ["benign"], ["malignant"]])
def test_a_folder_without_both_classes_is_refused(tmp_path: Path, present: list[str]) -> None:
    for kind in present:
        save(tmp_path / kind / "1.png", noise(1))
    with pytest.raises(UsageError, match=r"has no .* images; it needs folders benign/ and malignant/"):
        datasets.load(Request(str(tmp_path), 8))


def test_groups_of_a_csv_are_kept_whole_and_those_of_both_classes_too(tmp_path: Path) -> None:
    class_folders(tmp_path)
    rows = [(f"{kind}/{i}.png", kind, f"{kind}{i // 2}") for kind in LABELS for i in range(12)]
    rows[0] = ("benign/0.png", "benign", "malignant0")  # benign and malignant in one group
    with (tmp_path / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class", "group"), *rows])
    dataset = datasets.load(Request(str(tmp_path), 8))
    assert sum(map(len, dataset.splits.values())) == 24
    assert dataset.grouped
    assert not dataset.leaks().groups
    of_both = [part.labels[part.groups == "malignant0"] for part in dataset.splits.values()]
    assert [set(labels.tolist()) for labels in of_both if len(labels)] == [{0, 1}]


def test_a_csv_without_its_columns_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path)
    (tmp_path / "groups.csv").write_text("file,patient\na,b\n")
    with pytest.raises(UsageError, match=r"groups.csv is not a table with the columns path, class and group"):
        datasets.load(Request(str(tmp_path), 8))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n cut"])
def test_an_unreadable_image_is_named_and_skipped_only_on_request(tmp_path: Path, content: bytes) -> None:
    class_folders(tmp_path)
    (tmp_path / "benign" / "bad.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"1 unreadable image \('benign/bad.png'.*--skip-unreadable"):
        datasets.load(Request(str(tmp_path), 8))
    dataset = datasets.load(Request(str(tmp_path), 8, skip_unreadable=True))
    assert sum(map(len, dataset.splits.values())) == 24
    assert "1 unreadable images skipped" in dataset.notices
    assert not any("bad" in name for part in dataset.splits.values() for name in part.names)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not UTF-8")
def test_file_names_that_are_no_utf_8_are_escaped(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"set\xff")
    class_folders(root)
    (root / "benign" / "0.png").rename(root / "benign" / os.fsdecode(b"\xfe.png"))
    dataset = datasets.load(Request(str(root), 8))
    assert dataset.name == r"set\udcff"
    assert r"benign/\udcfe.png" in np.concatenate([part.names for part in dataset.splits.values()]).tolist()
    assert len(dataset.checksum) == len(dataset.images_checksum) == 64
    assert dataset.leaks().clean


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not UTF-8")
def test_an_npz_with_a_name_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    file = npz(tmp_path / os.fsdecode(b"b\xff.npz"))
    assert datasets.load(Request(str(file), 28)).name == datasets.name_of(str(file)) == r"b\udcff"


def test_a_truncated_image_is_unreadable(tmp_path: Path) -> None:
    save(tmp_path / "whole.png", noise(1, (64, 64, 3)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    with pytest.raises(ValueError, match="not a readable image"):
        read_image(tmp_path / "cut.png", 8)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "bomb.png", Image.new("1", (12_000, 6_000)))
    with pytest.raises(ValueError, match="over the limit"):
        read_image(tmp_path / "bomb.png", 8)


def test_every_kind_of_image_becomes_rgb(tmp_path: Path) -> None:
    grey = np.full((4, 4), 100, np.uint8)
    rgba = np.dstack([np.full((4, 4, 3), 100, np.uint8), np.zeros((4, 4), np.uint8)])
    images = {
        "grey.png": (Image.fromarray(grey), 100),
        "sixteen.png": (Image.fromarray(np.full((4, 4), 100 * 257, np.uint16)), 100),
        "sixteen.tif": (Image.fromarray(np.full((4, 4), 100 * 257, np.uint16)), 100),
        "palette.png": (Image.fromarray(np.dstack([grey] * 3)).convert("P", palette=Image.Palette.ADAPTIVE), 100),
        "transparent.png": (Image.fromarray(rgba), 255),
        "single.png": (Image.new("RGB", (1, 1), (100, 100, 100)), 100),
        "windows.bmp": (Image.fromarray(np.dstack([grey] * 3)), 100),
        "photo.jpg": (Image.fromarray(np.dstack([grey] * 3)), 100),
    }
    for name, (image, level) in images.items():
        save(tmp_path / name, image)
        read = read_image(tmp_path / name, 8)
        assert read.shape == (8, 8, 3), name
        assert read.dtype == np.uint8, name
        np.testing.assert_allclose(read, level, atol=1, err_msg=name)


def test_decoded_images_are_cached_by_content(tmp_path: Path) -> None:
    class_folders(tmp_path)
    before = datasets.load(Request(str(tmp_path), 8))
    save(tmp_path / "benign" / "0.png", noise(999))
    after = datasets.load(Request(str(tmp_path), 8))
    assert before.checksum != after.checksum


def test_magnification_keeps_its_images_alone(tmp_path: Path) -> None:
    class_folders(tmp_path, names="SOB_{kind}_X-14-{index}A-400-001.png")
    class_folders(tmp_path, names="SOB_{kind}_X-14-{index}A-40-001.png")
    dataset = datasets.load(Request(str(tmp_path), 8, magnification=400))
    assert all("-400-" in name for part in dataset.splits.values() for name in part.names)
    with pytest.raises(UsageError, match="no image has magnification 200; there are 40, 400"):
        datasets.load(Request(str(tmp_path), 8, magnification=200))


def npz(file: Path, **changes: np.ndarray | None) -> Path:
    """A file of BreastMNIST's layout, with arrays changed or (None) left out."""
    arrays = dict(np.load(medmnist.example(file.parent)))
    arrays.update(changes)
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file


def test_label_1_means_malignant_whatever_breastmnist_says(tmp_path: Path) -> None:
    labels = np.array([0] * 4 + [1] * 8, np.uint8)[:, None]
    dataset = datasets.load(Request(str(npz(tmp_path / "b.npz", test_labels=labels)), 28))
    assert dataset.test.labels.tolist() == [1] * 4 + [0] * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": None}, "lacks an array"),
        ({"test_images": np.zeros((12, 28), np.uint8)}, "wanted are uint8"),
        ({"test_images": np.zeros((12, 28, 28), np.float32)}, "wanted are uint8"),
        ({"train_labels": np.zeros((5, 1), np.uint8)}, "one label an image"),
        ({"train_labels": np.full((12, 1), 7, np.uint8)}, "BreastMNIST has 0 and 1"),
        ({"train_images": np.array([{"pickled": "object"}] * 12, dtype=object)}, "refused"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        datasets.load(Request(str(npz(tmp_path / "b.npz", **changes)), 28))


def test_what_only_is_called_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.npz").write_bytes(b"PK not really")
    with pytest.raises(UsageError, match=r"b.npz is not a plain .npz of arrays"):
        datasets.load(Request(str(tmp_path / "b.npz"), 28))


def test_busi_by_its_groups(real_data: Path) -> None:
    dataset = datasets.load(Request(str(real_data / "busi"), 32))
    assert dataset.name == "busi"
    assert "133 images of class 'normal' left out" in dataset.notices
    names = np.concatenate([part.names for part in dataset.splits.values()])
    assert not {"benign/benign (433).png", "malignant/malignant (145).png"} & set(names.tolist())
    assert "benign/benign (435).png" in names  # of the same group, and another picture
    total = sum(map(len, dataset.splits.values()))
    assert 600 < total <= 647
    assert 0.15 < len(dataset.test) / total < 0.25
    groups = [set(part.groups) for part in dataset.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_breastmnist_by_its_file(real_data: Path) -> None:
    dataset = datasets.load(Request(str(real_data / "breastmnist.npz"), 28))
    assert [len(part) for part in dataset.splits.values()] == [546, 78, 156]
    assert int(dataset.test.labels.sum()) == 42  # Yang et al. 2023: 114 normal or benign, 42 malignant


def test_breakhis_by_its_patients(real_data: Path) -> None:
    dataset = datasets.load(Request(str(real_data / "breakhis-sample"), 64))
    groups = np.concatenate([part.groups for part in dataset.splits.values()])
    assert len(groups) == 22
    assert len(set(groups.tolist())) == 17
    assert "14-22549AB" in groups
