"""Layouts: the folders that people have are read, each image with its class, split and patient, or refused by name."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bcdl import datasets
from bcdl.datasets import LABELS, Request, class_map, layouts, tree
from bcdl.datasets.layouts import Layout
from bcdl.errors import UsageError
from tests.datasets.test_tree import touch

ROOT = Path(__file__).resolve().parent.parent.parent
BREAKHIS = "BreaKHis_v1/histology_slides/breast"


def recognise(root: Path, stated: str = "") -> Layout:
    said = class_map.parse(stated)
    return layouts.recognise(tree.walk(root, said), said)


def outcome(attempt: Callable[[], Any]) -> tuple[Any, str]:
    """What the attempt gives, or the message of the refusal; any other error is a failure."""
    try:
        return attempt(), ""
    except UsageError as error:
        return None, str(error)


def read(layout: Layout) -> dict[str, tuple[int, str | None, str | None]]:
    return {file.name: (file.label, file.given, file.patient) for file in layout.files}


@pytest.mark.parametrize(
    ("benign", "malignant"),
    [("benign", "malignant"), ("Benign", "MALIGNANT"), ("benigns", "malign"), ("0_benign", "1-Malignant")],
)
def test_names_that_say_a_class_are_read(benign: str, malignant: str, tmp_path: Path) -> None:
    layout = recognise(touch(tmp_path, f"{benign}/1.png", f"{malignant}/2.png", "normal/3.png"))
    assert {name: said[0] for name, said in read(layout).items()} == {f"{benign}/1.png": 0, f"{malignant}/2.png": 1}
    assert layout.name == "class"
    assert layout.left_out == {"images of class 'normal'": 1}


def test_two_folders_of_one_class_are_both_read_and_told(tmp_path: Path) -> None:
    layout = recognise(touch(tmp_path, "Benign/1.png", "benign/1.png", "malignant/1.png"))
    assert read(layout) == {
        "Benign/1.png": (0, None, None),
        "benign/1.png": (0, None, None),
        "malignant/1.png": (1, None, None),
    }
    assert "2 names of folders mean class benign: 'Benign', 'benign'" in layout.notices


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *((name, "train") for name in ("train", "TRAIN", "Training", "train_set", "01_train")),
        *((name, "val") for name in ("val", "valid", "Validation", "dev", "Validierung", "eval", "Evaluation_set")),
        *((name, "test") for name in ("test", "Testing", "test-data")),
    ],
)
def test_splits_have_many_names(folder: str, split: str, tmp_path: Path) -> None:
    others = {"train", "val", "test"} - {split}
    touch(tmp_path, *(f"{top}/{kind}/1.png" for top in (folder, *others) for kind in LABELS))
    layout = recognise(tmp_path)
    assert layout.name == "split / class"
    assert {said[1] for name, said in read(layout).items() if name.startswith(f"{folder}/")} == {split}
    told = f"1 names of folders mean the split {split}: {folder!r}"
    assert (told in layout.notices) == (folder.lower() != split)


@pytest.mark.parametrize("tops", ["{split}/{kind}/{patient}_{n}.png", "{kind}/{split}/{patient}_{n}.png"])
def test_splits_may_be_above_or_below_class_folders(tops: str, tmp_path: Path) -> None:
    names = [tops.format(split=s, kind=k, patient=1, n=2) for s in ("train", "valid", "test") for k in LABELS]
    layout = recognise(touch(tmp_path, *names))
    assert {name: said[1] for name, said in read(layout).items()} == {
        name: "train" if "train" in name else "val" if "valid" in name else "test" for name in names
    }


def test_images_outside_the_splits_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{top}/{kind}/1.png" for top in ("train", "test", "extra") for kind in LABELS))
    layout = recognise(tmp_path)
    assert len(layout.files) == 4
    assert layout.left_out == {"images outside the folders of train, val, test": 2}
    told = "1 folders beside those of splits are of no split: 'extra'; to read them, call them train or val or test"
    assert told in layout.notices


@pytest.mark.parametrize("others", [("train",), ("train", "val")])
def test_evaluation_without_a_test_is_not_guessed(others: tuple[str, ...], tmp_path: Path) -> None:
    touch(tmp_path, *(f"{top}/{kind}/1.png" for top in (*others, "eval") for kind in LABELS))
    with pytest.raises(UsageError, match=r"no folder of split test .* did you mean test by 'eval'\?"):
        recognise(tmp_path)


@pytest.mark.parametrize("tops", ["{split}/{kind}", "{kind}/{split}"])
def test_evaluation_validates_beside_a_test(tops: str, tmp_path: Path) -> None:
    touch(tmp_path, *(tops.format(split=s, kind=k) + "/1.png" for s in ("train", "eval", "test") for k in LABELS))
    layout = recognise(tmp_path)
    assert {said[1] for name, said in read(layout).items() if "eval" in name} == {"val"}
    assert "1 names of folders mean the split val: 'eval'" in layout.notices


def test_a_split_that_alone_has_classes_is_split_anew_and_told(tmp_path: Path) -> None:
    layout = recognise(touch(tmp_path, "train/benign/1.png", "train/malignant/1.png", "test/1.png"))
    assert {said[1] for said in read(layout).values()} == {None}
    assert any("no split is taken" in notice for notice in layout.notices)
    assert layout.left_out == {"images outside class folders": 1}


def idc(patient: int, label: int, n: int) -> str:
    return f"{patient}/{label}/{patient}_idx5_x{n}_y0_class{label}.png"


@pytest.mark.parametrize("around", ["", "train/", "a/b/"])
def test_idc_as_published(around: str, tmp_path: Path) -> None:
    names = [around + idc(patient, label, 51) for patient in range(9000, 9006) for label in (0, 1)]
    layout = recognise(touch(tmp_path, *names))
    assert layout.name == "IDC: patient / class"
    assert sorted(read(layout).values()) == [(label, None, str(p)) for label in (0, 1) for p in range(9000, 9006)]
    assert layout.base == tmp_path / around
    assert all(name.count("/") == 2 for name in layout.every)


def test_an_idc_patch_in_the_folder_of_another_class_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, idc(9000, 0, 1), idc(9000, 1, 1), "9000/0/9000_idx5_x7_y0_class1.png")
    with pytest.raises(UsageError, match=r"'9000/0/9000_idx5_x7_y0_class1.png' is named for another class"):
        recognise(tmp_path)


@pytest.mark.parametrize("split", ["", "train/"])
def test_a_folder_above_class_folders_is_the_patient(split: str, tmp_path: Path) -> None:
    names = [f"{split}P{patient}/{kind}/1.png" for patient in range(3) for kind in ("Benign", "malignant")]
    if split:
        names += [f"test/P2/{kind}/2.png" for kind in ("Benign", "malignant")]
    layout = recognise(touch(tmp_path, *names))
    assert layout.name == ("split / patient / class" if split else "patient / class")
    assert {said[2] for said in read(layout).values()} == {"P0", "P1", "P2"}
    assert {said[2] for name, said in read(layout).items() if name.startswith("test")} == ({"P2"} if split else set())
    assert any(notice.startswith("3 folders above the class folders are taken") for notice in layout.of_patients)


@pytest.mark.parametrize(
    "outer", [("40X", "100X"), ("BreaKHis 40X", "BreaKHis 100X"), ("fold1", "fold2"), ("mg", "us")]
)
def test_other_folders_above_class_folders_are_no_patients(outer: tuple[str, ...], tmp_path: Path) -> None:
    layout = recognise(touch(tmp_path, *(f"{top}/{kind}/1.png" for top in outer for kind in LABELS)))
    assert {said[2] for said in read(layout).values()} == {None}
    assert len(layout.files) == 4


def test_folders_that_cut_a_patient_whom_files_name_are_no_patients(tmp_path: Path) -> None:
    for top in ("set1", "set2"):
        touch(tmp_path, f"{top}/benign/SOB_B_A-14-1AB-40-001.png", f"{top}/malignant/SOB_M_DC-14-2-40-001.png")
    layout = recognise(tmp_path)
    assert {said[2] for said in read(layout).values()} == {None}
    assert layout.of_patients[0].startswith("2 folders above the class folders are not taken for patients")


@pytest.mark.parametrize(("inner", "taken"), [("patient_{}", True), ("Case {}", True), ("P{:03}", True), ("{}", False)])
def test_folders_inside_class_folders_are_patients_if_they_are_named_so(
    inner: str, taken: bool, tmp_path: Path
) -> None:
    names = [f"{kind}/{inner.format(n)}/1.png" for n in range(3) for kind in LABELS]
    layout = recognise(touch(tmp_path, *names))
    patients = {said[2] for said in read(layout).values()}
    assert patients == ({inner.format(n) for n in range(3)} if taken else {None})
    assert ("are taken" in layout.of_patients[0]) == taken
    assert ("are not taken" in layout.of_patients[0]) != taken


def breakhis(root: Path) -> Path:
    for kind, subtype, patient in (
        ("benign", "B_A", "14-22549AB"),
        ("benign", "B_F", "14-9133"),
        ("malignant", "M_DC", "14-2523"),
        ("malignant", "M_LC", "14-12204"),
    ):
        folder = f"{BREAKHIS}/{kind}/SOB/subtype/SOB_{subtype}_{patient}"
        touch(root, *(f"{folder}/{zoom}X/SOB_{subtype}-{patient}-{zoom}-001.png" for zoom in (40, 100, 200, 400)))
    return touch(root, f"{BREAKHIS}/README.txt")


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_breakhis_as_published_at_any_level(level: int, tmp_path: Path) -> None:
    breakhis(tmp_path)
    layout = recognise(tmp_path.joinpath(*BREAKHIS.split("/")[:level]))
    assert layout.name == "BreaKHis as published"
    assert layout.base == tmp_path / BREAKHIS
    assert len(layout.files) == 16
    assert {(said[0], said[2]) for said in read(layout).values()} == {
        (0, "14-22549AB"),
        (0, "14-9133"),
        (1, "14-2523"),
        (1, "14-12204"),
    }
    assert any(f"{3 - level} folders down" in notice for notice in layout.notices) == (level < 3)


def test_busi_as_published(tmp_path: Path) -> None:
    for kind in ("benign", "malignant", "normal"):
        touch(tmp_path, *(f"Dataset_BUSI_with_GT/{kind}/{kind} ({n}){m}.png" for n in (1, 2) for m in ("", "_mask")))
    touch(tmp_path, "Dataset_BUSI_with_GT/benign/benign (2)_mask_1.png")
    layout = recognise(tmp_path)
    assert sorted(read(layout)) == sorted(f"{kind}/{kind} ({n}).png" for kind in LABELS for n in (1, 2))
    assert layout.left_out == {"masks": 7, "images of class 'normal'": 2}


def test_images_at_other_places_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "benign/1.png", "malignant/1.png", "cover.png", "old/benign/1.png", "benign cases/1.png")
    layout = recognise(tmp_path)
    assert layout.left_out == {
        "images outside class folders": 1,
        "images in class folders of another depth": 1,
        "images of class 'benign cases'": 1,
    }
    assert any('to read them, use --class-map "benign cases=benign"' in notice for notice in layout.notices)


def test_of_many_other_classes_the_largest_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "benign/1.png", "malignant/1.png", *(f"c{n}/{i}.png" for n in range(20) for i in range(n + 1)))
    left_out = recognise(tmp_path).left_out
    assert left_out.total() == 210
    assert len(left_out) == 6
    assert left_out["images of 15 more classes"] == 120


def test_a_map_says_what_names_do_not(tmp_path: Path) -> None:
    touch(tmp_path, "benign cases/1.png", "Bösartig/1.png", "1/1.png")
    layout = recognise(tmp_path, "Benign Cases=benign, 1=Malignant ,Bo\u0308sartig=malignant")
    assert {name: said[0] for name, said in read(layout).items()} == {
        "1/1.png": 1,
        "Bösartig/1.png": 1,
        "benign cases/1.png": 0,
    }


def test_a_map_of_numbers_takes_no_patient_for_a_class(tmp_path: Path) -> None:
    touch(tmp_path, *(f"P{patient}/{label}/1.png" for patient in range(6) for label in (0, 1)))
    touch(tmp_path, "1/0/1.png", "1/1/1.png")
    layout = recognise(tmp_path, "0=benign,1=malignant")
    assert len(layout.files) == 14
    assert all(file.label == int(file.name.split("/")[1]) for file in layout.files)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("benign cases", "has an entry 'benign cases' that is not NAME=benign or NAME=malignant"),
        ("=benign", "entry '=benign'"),
        ("x=", "entry 'x='"),
        ("x=benign,", "entry ''"),
        (",", "entry ''"),
        ("x=maligant", "did you mean malignant?"),
        ("x=benign,X =malignant", "says 'x' is malignant, and it is benign"),
        ("Malignant=benign", "says 'malignant' is benign, and it is malignant"),
        ("x=1", "entry 'x=1'"),
    ],
)
def test_a_map_that_is_malformed_or_contradicts_itself_is_refused(stated: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        class_map.parse(stated)


@given(
    st.dictionaries(st.text(max_size=10), st.sampled_from(["benign", "malignant"]), max_size=4), st.text(max_size=20)
)
def test_a_map_is_read_or_refused_in_one_line(entries: dict[str, str], other: str) -> None:
    for text in (",".join(f"{name}={kind}" for name, kind in entries.items()), other):
        stated, message = outcome(functools.partial(class_map.parse, text))
        assert message.isprintable()
        assert all(class_map.class_of(name, stated) == label for name, label in (stated or {}).items())


@pytest.mark.parametrize(
    ("names", "stated", "messages"),
    [
        ([], "", ["has no benign and no malignant images", "found: nothing"]),
        (["benign/1.png", "maligant/1.png"], "", ["no malignant", "'maligant'", "--class-map maligant=malignant"]),
        (["0/1.png", "1/1.png"], "", ["'0' (1 images), '1' (1 images)", "use --class-map 0=benign,1=malignant"]),
        (["p1/0/1.png", "p1/1/1.png"], "", ["in them '0', '1'", "use --class-map 0=benign,1=malignant"]),
        (["Bengin cases/1.png", "Malignant cases/1.png"], "", ['"bengin cases=benign,malignant cases=malignant"']),
        (["A/1.png", "B/1.png"], "", ["use --class-map a=benign,b=malignant"]),
        (["x/1.png", "y/1.png", "z/1.png"], "", ["--class-map NAME=benign,NAME=malignant"]),
        (["1.png", "2.png"], "", ["2 images in no folder", "--labels FILE"]),
        (["benign/1.heic", "malignant/1.heic"], "", ["'benign' (0 images)", "2 HEIC images"]),
        (["benign/1.png", "malignant/1.png"], "x=benign", ["--class-map names 'x'", "found: 'benign'"]),
        (["bening/1.png", "malignant/1.png"], "benin=benign", ["names 'benin'", "did you mean 'bening'?"]),
        (["trian/benign/1.png", "trian/malignant/1.png", "test/benign/1.png", "test/malignant/1.png"], "",
         ["no folder of split train", "did you mean train by 'trian'?"]),
        (["benign/malignant/1.png", "malignant/1.png"], "", ["is in a folder of each class"]),
        ([f"{n}/a/1.png" for n in range(9)], "", ["and 4 more"]),
    ],
)  # fmt: skip
def test_a_refusal_names_what_is_there_and_what_would_be_read(
    names: list[str], stated: str, messages: list[str], tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(UsageError) as raised:
        recognise(touch(tmp_path / "set", *names), stated)
    assert all(message in str(raised.value) for message in messages), raised.value
    assert str(raised.value).isprintable()
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("linked", ["{kind}/1.png", "{kind}"])
def test_if_all_links_lead_out_the_remedy_is_to_copy(linked: str, tmp_path: Path) -> None:
    for kind in LABELS:
        touch(tmp_path, f"else/{kind}/1.png")
        link = tmp_path / "set" / linked.format(kind=kind)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tmp_path / "else" / linked.format(kind=kind))
    with pytest.raises(UsageError, match=r"; links out of the folder: copy the files into it$"):
        recognise(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("1.heic", "save them as PNG"), (".1.png.icloud", "download them"), ("1.tga", "save them as PNG")],
)
def test_if_no_image_can_be_read_the_remedy_is_about_them(name: str, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{remedy}$"):
        recognise(touch(tmp_path, *(f"{kind}/{name}" for kind in LABELS)))


def test_one_class_folder_alone_is_told_to_name_the_folder_above(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the folder above it, which holds both classes"):
        recognise(touch(tmp_path / "benign", "1.png"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not UTF-8")
def test_names_that_would_look_the_same_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "benign/\\udcff.png", "benign/" + os.fsdecode(b"\xff.png"), "malignant/1.png")
    with pytest.raises(UsageError, match=r"two images have the name .* rename one"):
        recognise(tmp_path)


FOLDERS = "benign Benign malignant MALIGN normal 0 1 train Valid test P1 P2 patient_3 40X SOB_B_A_14-22AB masks a b"
NAMES = "1.png 2.png 1_mask.png x_class0.png x_class1.png SOB_B_A-14-1-40-001.png 9_idx5_x1_y1_class1.png"


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(FOLDERS.split()), max_size=4), st.sampled_from(NAMES.split())), max_size=15
    ),
    st.sampled_from(["", "0=benign,1=malignant", "a=benign", "normal=benign,b=malignant"]),
)
def test_any_tree_is_read_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[list[str], str]], stated: str
) -> None:
    """Each image is used, or counted as left out, once; splits and patients are those of its own folders."""
    root = touch(tmp_path_factory.mktemp("tree"), *("/".join([*folders, name]) for folders, name in files))
    layout, message = outcome(lambda: recognise(root, stated))
    assert message.isprintable()
    if layout is None:
        return
    assert len(layout.files) + layout.left_out.total() == len({(*folders, name) for folders, name in files})
    assert {file.label for file in layout.files} == {0, 1}
    assert set(layout.every) >= {file.name for file in layout.files}
    for file in layout.files:
        assert file.path == layout.base / file.name
        assert file.given is None or file.given[:2] in file.name.lower()
        assert file.patient is None or file.patient.split("/")[-1][-4:] in file.name
    assert {file.given for file in layout.files} in ({None}, {"train", "test"}, {"train", "val", "test"})
    assert recognise(root, stated) == layout


def save(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    return root


def test_a_patient_of_both_classes_is_on_one_side(tmp_path: Path) -> None:
    root = save(tmp_path / "idc", *(idc(p, k, n) for p in range(9000, 9012) for k in (0, 1) for n in range(2)))
    dataset = datasets.load(Request(str(root), 8))
    assert dataset.grouped
    assert dataset.leaks().clean
    assert sum(map(len, dataset.splits.values())) == 48
    assert dataset.facts["layout"] == "IDC: patient / class"


def test_what_is_left_out_and_the_map_are_facts(tmp_path: Path) -> None:
    names = [f"{kind}/{n}{end}.png" for kind in ("0", "1") for n in range(10) for end in ("", "_mask")]
    root = save(tmp_path / "set", *names, "2/1.png")
    dataset = datasets.load(Request(str(root), 8, class_map="1=malignant,0=benign"))
    assert dataset.rules == 2
    assert dataset.facts["class_map"] == {"0": "benign", "1": "malignant"}
    assert dataset.facts["left_out"] == {"masks": 20, "images of class '2'": 1}
    assert "20 masks left out" in dataset.notices


def test_a_table_of_groups_lies_with_the_class_folders(tmp_path: Path) -> None:
    root = save(tmp_path / "set", *(f"inner/{kind}/{n}.png" for kind in LABELS for n in range(12)))
    rows = "".join(f"{kind}/{n}.png,{kind},{kind}{n // 2}\n" for kind in LABELS for n in range(12))
    (root / "inner" / "groups.csv").write_text("path,class,group\n" + rows)
    dataset = datasets.load(Request(str(root), 8))
    assert dataset.grouped
    assert "left_out" not in dataset.facts


def test_the_same_data_have_one_identity_at_every_level(tmp_path: Path) -> None:
    save(tmp_path / "outer", *(f"inner/{kind}/{n}.png" for kind in LABELS for n in range(12)))
    checksums = {datasets.load(Request(str(tmp_path / level), 8)).checksum for level in ("outer", "outer/inner")}
    assert len(checksums) == 1


def test_a_name_that_no_system_takes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--data 'aaa.*aaa': File name too long; name another path"):
        datasets.load(Request("a" * 300, 8))


def test_a_map_without_a_folder_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--class-map .* and --data 'synthetic-48' is no folder; leave it out"):
        datasets.load(Request("synthetic-48", 8, class_map="1=malignant"))


@pytest.mark.keras
@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["benign/1.png", "maligant/1.png"], (), "use --class-map maligant=malignant"),
        (["benign/1.png", "malignant/1.png"], ("--class-map", "x"), "--class-map has an entry 'x'"),
        (["benign/1.png", "malignant/1.png"], ("--class-map", "x=benign"), "--class-map names 'x'"),
    ],
)
def test_a_refusal_is_one_line_and_nothing_is_written(
    names: list[str], options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    root = save(tmp_path / "set", *names)
    command = [sys.executable, "-m", "bcdl.train", "--model", "cnn", "--profile", "smoke", "--no-timing"]
    results = tmp_path / "results"
    done = subprocess.run(
        [*command, "--data", str(root), "--results", str(results), *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not list(results.rglob("*.jsonl"))
