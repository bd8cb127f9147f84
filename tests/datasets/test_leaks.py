"""Leaks: what stands on both sides of a split is reported, recorded and, on request, refused."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import datasets
from bcdl.datasets import Request, leaks
from bcdl.datasets.duplicates import Duplicates
from bcdl.errors import UsageError
from bcdl.records.record import Record
from bcdl.runner.run import Run
from tests import factory
from tests.pictures import brighten, drawings, find, jpeg

DUPLICATES = Duplicates(8, 8, (("a", "b"), ("c", "d")), (("c", "d", "e"), ("f", "g")), (("a", "b"),), ())
PARTS = {"train": ["a", "c", "d", "f"], "val": ["e"], "test": ["b", "g", "h"]}


def test_what_stands_on_both_sides_of_a_split() -> None:
    groups = {"train": ["1", "2", "2", "3"], "val": ["2"], "test": ["1", "4", "5"]}
    result = leaks.across(DUPLICATES, PARTS, groups)
    assert result.identical == ({"train": ["a"], "test": ["b"]},)
    assert result.near == ({"train": ["c", "d"], "val": ["e"]}, {"train": ["f"], "test": ["g"]})
    assert result.groups == {"1": ["train", "test"], "2": ["train", "val"]}
    assert result.copied == {"val": 1, "test": 2}
    assert not result.clean
    notices = "\n".join(result.notices())
    for words in ("a (train) ~ b (test)", "1 of val and 2 of test have a copy in train", "1 (train, test)", "a = b"):
        assert words in notices


def test_duplicates_within_a_split_and_in_none_are_no_leak_but_are_reported() -> None:
    parts = {"train": ["c", "d", "e"], "val": ["f", "g"], "test": ["h"]}
    result = leaks.across(DUPLICATES, parts, parts)
    assert result.clean
    assert result.copied == {"val": 0, "test": 0}
    notices = result.notices()
    assert not any(line.startswith("LEAK") for line in notices)
    assert any("in no split: a = b" in line for line in notices)
    assert "2 lists of near-identical images in the data set (5 images)" in notices


def test_a_record_holds_whole_counts_and_two_hundred_names() -> None:
    pairs = tuple((f"a{i}", f"b{i}") for i in range(150))
    result = leaks.across(
        Duplicates(300, 300, (), pairs, (), ()), {"train": [a for a, _ in pairs], "test": [b for _, b in pairs]}, None
    )
    facts = json.loads(json.dumps(result.facts()))
    for kind in (facts["near"], facts["across"]["near"]):
        assert (kind["count"], kind["images"], len(kind["listed"])) == (150, 300, 100)
    assert facts["across"]["groups"] is None
    assert (facts["clean"], facts["across"]["copied"]) == (False, {"test": 150})


def save(file: Path, image: Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images, one a copy, and a pair of two labels in a group of its own."""
    images = [*drawings()[:11], jpeg(drawings()[6])]
    rows = [(f"{kind}/{i}.png", kind, f"{kind}{i}") for kind in ("benign", "malignant") for i in range(6)]
    for (name, _, _), image in zip(rows, images, strict=True):
        save(tmp_path / "set" / name, image)
    for kind in ("benign", "malignant"):
        save(tmp_path / "set" / kind / "both.png", drawings()[11])
        rows.append((f"{kind}/both.png", kind, "mixed"))
    with (tmp_path / "set" / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class", "group"), *rows])
    return tmp_path / "set"


PAIR = ("benign/both.png", "malignant/both.png")


def test_images_are_seen_before_contradictions_are_left_out_and_at_their_own_size(folder: Path) -> None:
    small, large = (datasets.load(Request(str(folder), size)) for size in (8, 40))
    assert not set(PAIR) & {name for part in small.splits.values() for name in part.names}
    assert small.duplicates == large.duplicates
    assert small.duplicates.conflicting == (PAIR,)
    assert small.duplicates.near == (("malignant/0.png", "malignant/5.png"),)
    assert not small.duplicates.near_conflicting


def test_a_split_by_image_with_copies_is_reported(folder: Path) -> None:
    (folder / "groups.csv").unlink()
    notices = [
        datasets.load(Request(str(folder), 8, split_seed=seed, by_group=False)).leaks().notices() for seed in range(8)
    ]
    assert any(line.startswith("LEAK: 1 lists of near-identical images") for lines in notices for line in lines)
    assert all(
        any(f"with different labels, in no split: {' = '.join(PAIR)}" in line for line in lines) for lines in notices
    )


def test_what_comes_as_arrays_is_compared_as_it_came(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for number, name in enumerate(("train", "val", "test")):
        chosen = drawings()[4 * number : 4 * number + 4]
        arrays[f"{name}_images"] = np.stack([np.asarray(image.convert("L")) for image in chosen])
        arrays[f"{name}_labels"] = np.array([[0], [1], [0], [1]], np.uint8)
    arrays["test_images"][1] = arrays["train_images"][3]
    np.savez(tmp_path / "some.npz", **arrays)
    result = datasets.load(Request(str(tmp_path / "some.npz"), 8)).leaks()
    assert result.identical == ({"train": ["train/0003"], "test": ["test/0001"]},)
    assert result.groups is None


@pytest.mark.parametrize("keep", [True, False])
def test_records_are_marked_with_the_leaks_of_their_split(tmp_path: Path, folder: Path, keep: bool) -> None:
    job = dataclasses.replace(factory.job(str(folder), batch_size=1), keep_names=keep)
    run = Run([job], tmp_path / "results")
    notices = run.check()
    assert any("with different labels, in no split" in line for line in notices)
    assert any(PAIR[0] in line for line in notices)
    private = run.private[job.request]
    assert private
    made = factory.record(run=run.id)
    of_folder = {**made.dataset, "checksum": run.checksums[job.request]}
    run.keep(job, dataclasses.replace(made, dataset=of_folder))
    stored = Record.from_json(run.file.read_text(encoding="utf-8"))
    names = list(PAIR) if keep else list(map(private.hashed, PAIR))
    assert stored.dataset["leaks"]["conflicting"]["listed"] == [names]
    assert stored.dataset["leaks"]["notices"]


def test_data_that_leaks_is_refused_if_clean_data_is_asked_for(tmp_path: Path, folder: Path) -> None:
    """By groups the copies lie on both sides of one split or another; if the images differ, of none."""
    jobs = [factory.job(str(folder), batch_size=1, split_seed=seed) for seed in range(8)]
    with pytest.raises(UsageError, match="--require-clean: data set set leaks: LEAK: 1 lists of near-identical images"):
        Run(jobs, tmp_path / "results", require_clean=True).check()
    (folder / "malignant" / "5.png").unlink()
    Run(jobs, tmp_path / "results", require_clean=True).check()


def test_small_images_are_reported_as_identical_alone() -> None:
    images = [image.resize((20, 20)) for image in drawings()[:3]]
    duplicates = find([*images, images[0].copy(), brighten(images[1])])
    assert (duplicates.images, duplicates.compared) == (5, 0)
    assert (duplicates.identical, duplicates.near) == ((("0", "3"),), ())
    split = leaks.across(duplicates, {"train": ["0"], "test": ["1"]}, None)
    assert any("5 images under 24 pixels" in line for line in split.notices())
