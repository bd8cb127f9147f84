"""Folders that people really have, each read rightly: what is used, what is left out, who is grouped, what is told."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bcdl import datasets
from bcdl.datasets import Dataset, Request
from bcdl.errors import UsageError
from tests.conftest import ROOT
from tests.datasets import cases


@dataclasses.dataclass(frozen=True)
class Right:
    """What a case must give.

    Attributes:
        images: how many are used.
        patients: how many of these are known.
        unknown: of how many images the patient is not known.
        told: patterns of notices that must be there, of the data or of its leaks.
    """

    images: int
    patients: int
    unknown: int = 0
    told: tuple[str, ...] = ()


_NO_PATIENTS = ("no patients or groups are known", "patients: not known for")
RIGHT = {
    "breakhis-prefixed": Right(64, 16, told=("16 patients of 64 images",)),
    "breakhis-half-named": Right(64, 12, 16, ("16 images of 64 name no patient", "patients: not known for 16 of 64")),
    "csv-backslash": Right(40, 10),
    "csv-base-names": Right(40, 10),
    "csv-trailing-space": Right(40, 10),
    "csv-bom": Right(40, 10),
    "csv-semicolon": Right(40, 10),
    "decomposed-names": Right(40, 10),
    "patient-then-class": Right(80, 10, told=("10 folders above the class folders are taken for patients",)),
    "masks": Right(40, 0, 40, ("41 masks left out", *_NO_PATIENTS)),
    "notebook-leftovers": Right(40, 0, 40, ("12 hidden or system files left out", *_NO_PATIENTS)),
    "apple-leftovers": Right(40, 0, 40, ("40 hidden or system files left out", *_NO_PATIENTS)),
    "grey-12-of-16-bits": Right(40, 0, 40, ("40 grey images .* 12 bits found",)),
    "grey-8-of-16-bits": Right(40, 0, 40, ("40 grey images .* 8 bits found",)),
    "three-malignant": Right(300, 0, 300, ("1/1/1 malignant images", "the test split has only 1 malignant image")),
    "valid-not-val": Right(72, 0, 72, ("'valid'", "whether the given split cuts one can't be checked")),
    "busi": Right(40, 0, 40, ("45 masks left out", "4 images of class 'normal' left out")),
    "breakhis": Right(64, 16, told=("16 folders of BreaKHis are taken for patients",)),
    "idc": Right(80, 10),
    "grey-12-bits": Right(40, 10, told=("12 bits found",)),
    "dicom": Right(40, 10, told=("burnt into their pixels",)),
    "csv-labelled": Right(40, 10, told=("labels.csv",)),
}
REFUSED = {"csv-matches-nothing": r"groups.csv .*'scans/1.png'.*'benign/benign \(1\).png'"}


def everything(dataset: Dataset, field: str) -> np.ndarray:
    return np.concatenate([getattr(part, field) for part in dataset.splits.values()])


def test_each_case_has_its_right_value() -> None:
    assert RIGHT.keys() == cases.CASES.keys() - set(cases.REFUSED)
    assert REFUSED.keys() == set(cases.REFUSED)


def test_a_case_is_read_rightly(case: tuple[str, Dataset]) -> None:
    name, dataset = case
    right = RIGHT[name]
    known = everything(dataset, "known")
    assert len(known) == right.images
    assert len(set(everything(dataset, "groups")[known])) == right.patients
    assert np.count_nonzero(~known) == right.unknown
    assert dataset.grouped is (right.unknown == 0)
    leaks = dataset.leaks()
    assert leaks.clean
    lines = [*dataset.notices, *leaks.notices()]
    assert [pattern for pattern in right.told if not any(re.search(pattern, line) for line in lines)] == []


def test_every_patient_of_a_case_is_on_one_side(case: tuple[str, Dataset]) -> None:
    _, dataset = case
    sides = [set(part.groups[part.known]) for part in dataset.splits.values()]
    assert sum(map(len, sides)) == len(set().union(*sides))


def test_no_image_of_a_case_is_near_black_and_both_classes_are_told_apart(case: tuple[str, Dataset]) -> None:
    """Benign images are drawn around a level of 110, malignant ones around 50."""
    _, dataset = case
    images, labels = (everything(dataset, field) for field in ("images", "labels"))
    means = images.mean(axis=(1, 2, 3))
    assert np.abs(means - np.where(labels == 1, 50, 110)).max() < 10
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("name", REFUSED)
def test_a_case_that_can_not_be_read_is_refused_with_an_example_of_both_sides(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=REFUSED[name]) as raised:
        datasets.load(cases.write(name, tmp_path))
    assert len(str(raised.value).splitlines()) == 1


def test_a_split_of_few_malignant_images_keeps_its_shares(tmp_path: Path) -> None:
    dataset = datasets.load(cases.write("three-malignant", tmp_path))
    assert [len(part) for part in dataset.splits.values()] == [210, 30, 60]


def test_a_folder_called_valid_is_the_validation_split(tmp_path: Path) -> None:
    dataset = datasets.load(cases.write("valid-not-val", tmp_path))
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 40, "val": 16, "test": 16}
    assert {name.split("/")[0] for name in dataset.val.names} == {"valid"}


def test_breakhis_is_read_at_every_level_of_its_tree(tmp_path: Path) -> None:
    request = cases.write("breakhis", tmp_path)
    levels = [Path(request.data), *cases.breast(Path(request.data)).parents[:2], cases.breast(Path(request.data))]
    read = [datasets.load(dataclasses.replace(request, data=str(level))) for level in levels]
    assert all(dataset.grouped for dataset in read)
    assert len({tuple(sorted(everything(dataset, "labels"))) for dataset in read}) == 1
    assert len({tuple(sorted(set(everything(dataset, "groups")))) for dataset in read}) == 1


def test_breakhis_as_published_has_the_patients_of_its_names(real_data: Path, tmp_path: Path) -> None:
    cases.breakhis_of(real_data / "breakhis-sample", tmp_path / "real")
    tree, flat = (
        datasets.load(Request(str(folder), 32)) for folder in (tmp_path / "real", real_data / "breakhis-sample")
    )
    assert len(everything(tree, "labels")) == len(everything(flat, "labels")) == 22
    assert set(everything(tree, "groups")) == set(everything(flat, "groups"))
    assert tree.grouped
    assert flat.grouped
    assert len(set(everything(tree, "groups"))) == 17


def test_whatever_the_reason_each_file_is_used_or_counted(tmp_path: Path) -> None:
    """Also images of another magnification, with a twin of the other class, and damaged ones."""
    request = cases.write("breakhis", tmp_path)
    root = cases.breast(Path(request.data))
    benign, *_ = sorted(root.glob("benign/**/*-40-*.png"))
    malignant, damaged, *_ = sorted(root.glob("malignant/**/*-40-*.png"))
    shutil.copy(benign, malignant)
    damaged.write_bytes(b"not an image")
    (root / "benign" / "._x.png").write_bytes(b"")
    dataset = datasets.load(dataclasses.replace(request, magnification=40, skip_unreadable=True))
    files = sum(path.is_file() for path in Path(request.data).rglob("*"))
    assert dataset.facts["left_out"] == {
        "hidden or system files": 1,
        "images of other magnifications": 48,
        "images under both labels": 2,
        "unreadable images": 1,
    }
    assert len(everything(dataset, "labels")) + sum(dataset.facts["left_out"].values()) == files


def test_bcdl_leaks_tells_what_it_left_out(tmp_path: Path) -> None:
    request = cases.write("masks", tmp_path)
    command = [sys.executable, "-m", "bcdl", "leaks", request.data]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "note: 41 masks left out" in done.stdout
    assert "40 images, 40 of them" in done.stdout
