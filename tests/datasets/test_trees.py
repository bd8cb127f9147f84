"""What holds of every folder that people have: patients stay whole or it is told, and no file vanishes silently."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcdl import datasets
from bcdl.datasets import LABELS, Dataset
from tests.datasets.trees import Tree, trees

few = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def load(tree: Tree, factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    folder = factory.mktemp("tree") / "set"
    return datasets.load(tree.write(folder)), folder


def by_name(dataset: Dataset) -> dict[str, tuple[str, int, np.ndarray]]:
    """Split, label and pixels of each image."""
    return {
        name: (split, int(label), image)
        for split, part in dataset.splits.items()
        for name, label, image in zip(part.names.tolist(), part.labels, part.images, strict=True)
    }


@given(trees())
@few
def test_no_known_patient_is_on_both_sides_unless_it_is_told(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    dataset, _ = load(tree, tmp_path_factory)
    images = by_name(dataset)
    sides: dict[str, set[str]] = {}
    for picture in tree.pictures:
        if picture.patient and picture.path in images:
            sides.setdefault(picture.patient, set()).add(images[picture.path][0])
    cut = [patient for patient, splits in sides.items() if len(splits) > 1]
    leaks = dataset.leaks()
    assert bool(cut) == tree.cut
    assert leaks.clean is not tree.cut
    assert any("LEAK" in line and "in two splits" in line for line in leaks.notices()) is tree.cut


@given(trees())
@few
def test_a_set_is_called_grouped_only_if_every_patient_is_known(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    dataset, _ = load(tree, tmp_path_factory)
    known = {name: bool(k) for part in dataset.splits.values() for name, k in zip(part.names, part.known, strict=True)}
    assert known == {picture.path: picture.patient is not None for picture in tree.pictures}
    assert dataset.grouped is tree.grouped
    unknown = [picture for picture in tree.pictures if not picture.patient]
    told = (f"{len(unknown)} images ", "no patients or groups are known")
    assert tree.grouped or any(notice.startswith(told) for notice in dataset.notices)
    not_checked = f"patients: not known for {len(unknown)} of {len(tree.pictures)} images, so not checked"
    assert any(not_checked in line for line in dataset.leaks().notices()) is not tree.grouped


@given(trees())
@few
def test_every_file_is_used_or_counted(tmp_path_factory: pytest.TempPathFactory, tree: Tree) -> None:
    dataset, folder = load(tree, tmp_path_factory)
    files = sum(path.is_file() and path.name != "groups.csv" for path in folder.rglob("*"))
    left_out = dataset.facts.get("left_out", {})
    assert sum(map(len, dataset.splits.values())) + sum(left_out.values()) == files
    assert len(tree.pictures) == sum(map(len, dataset.splits.values()))
    for count in left_out.values():
        assert any(notice.startswith(f"{count} ") for notice in dataset.notices)


@given(trees())
@few
def test_each_image_keeps_its_class_its_split_and_its_grey(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    dataset, _ = load(tree, tmp_path_factory)
    images = by_name(dataset)
    assert images.keys() == {picture.path for picture in tree.pictures}
    for picture in tree.pictures:
        split, label, pixels = images[picture.path]
        assert label == picture.label
        assert picture.split in (None, split)
        # 12 bits are scaled by 255 / 4095, which is a hair under 1 / 16; WebP is lossy.
        difference = np.abs(pixels.astype(int) - picture.levels[..., None])
        assert difference.max() <= (60 if picture.path.endswith(".webp") else 1)


@given(trees())
@few
def test_shares_are_near_those_asked_for_or_a_notice_says_why(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    dataset, _ = load(tree, tmp_path_factory)
    everything = np.concatenate([part.labels for part in dataset.splits.values()])
    if any(picture.split for picture in tree.pictures) or any("share" in notice for notice in dataset.notices):
        return
    for split, asked in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        for labels in (list(LABELS.values()), *([label] for label in LABELS.values())):
            part, all_ = (np.isin(given, labels).sum() for given in (dataset.splits[split].labels, everything))
            assert abs(part / all_ - asked) < 0.2, (split, labels)


@given(trees(), st.randoms(use_true_random=False))
@few
def test_neither_loading_again_nor_the_order_of_files_changes_a_byte(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree, shuffled: random.Random
) -> None:
    first, folder = load(tree, tmp_path_factory)
    request = tree.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        _shuffle(patch, shuffled)
        again = datasets.load(request)
    assert (again.checksum, again.notices, again.facts) == (first.checksum, first.notices, first.facts)


def _shuffle(patch: pytest.MonkeyPatch, shuffled: random.Random) -> None:
    """Have the system list the files of a folder in another order."""
    listdir, scandir = os.listdir, os.scandir

    class Scan:
        def __init__(self, *arguments: Any) -> None:
            with scandir(*arguments) as entries:
                self.entries = list(entries)
            shuffled.shuffle(self.entries)

        def __iter__(self) -> Iterator[Any]:
            return iter(self.entries)

        def __next__(self) -> Any:
            if not self.entries:
                raise StopIteration
            return self.entries.pop()

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None:
            self.close()

        def close(self) -> None:
            self.entries = []

    def listed(*arguments: Any) -> list[Any]:
        names = listdir(*arguments)
        shuffled.shuffle(names)
        return names

    patch.setattr(os, "listdir", listed)
    patch.setattr(os, "scandir", Scan)
