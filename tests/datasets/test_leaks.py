"""The leak detector: copies are found however they were made, and what only looks alike is not."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from bcdl import datasets
from bcdl.datasets import Request, leaks
from bcdl.datasets.fingerprint import Fingerprints, fingerprint
from bcdl.datasets.leaks import Duplicates
from bcdl.datasets.sources import synthetic
from bcdl.errors import UsageError
from bcdl.records.record import Record
from bcdl.runner.run import Run
from tests import factory

FRAME = (160, 160)


@functools.cache
def drawings() -> tuple[Image.Image, ...]:
    """Twelve, four a patient."""
    return tuple(map(Image.fromarray, synthetic.read(Request("synthetic-36", FRAME[0])).images[:12]))


def find(images: Sequence[Image.Image], labels: Sequence[int] | None = None) -> Duplicates:
    """What is found among images named by their numbers."""
    names = np.array([str(number) for number in range(len(images))])
    found = np.stack([fingerprint(image.convert("RGB")) for image in images])
    return leaks.find(Fingerprints(found, names, np.array(labels or [0] * len(images))))


def jpeg(image: Image.Image, quality: int = 40) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def crop(image: Image.Image, share: float = 0.05) -> Image.Image:
    width, height = image.size
    return image.crop((int(share * width), int(share / 2 * height), int((1 - share / 2) * width), height))


def brighten(image: Image.Image, gain: float = 0.7) -> Image.Image:
    return image.point(lambda level: min(255, int(level * gain + 20)))


def measure_on(image: Image.Image) -> Image.Image:
    """With the marks of a caliper and a caption."""
    marked = image.copy()
    pen = ImageDraw.Draw(marked)
    for x, y in ((50, 60), (100, 70), (70, 40), (75, 110)):
        pen.line((x - 3, y, x + 3, y), fill="yellow")
        pen.line((x, y - 3, x, y + 3), fill="yellow")
    pen.text((10, 145), "LEFT BREAST", fill="white")
    return marked


def frame(image: Image.Image) -> Image.Image:
    """In a black margin."""
    framed = Image.new("RGB", (240, 200))
    framed.paste(image, (60, 10))
    return framed


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda image: image.resize((110, 200)),
    "recompressed": jpeg,
    "brightened": brighten,
    "cropped": crop,
    "measured on": measure_on,
    "framed": frame,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "all of that": lambda image: jpeg(frame(measure_on(brighten(crop(image, 0.03).resize(FRAME)))), quality=75),
}


@pytest.mark.parametrize("way", list(COPIES))
def test_copies_are_found_and_nothing_else(way: str) -> None:
    images = drawings()
    found = find([*images, *(COPIES[way](image) for image in images)])
    assert sorted(found.near) == sorted((str(i), str(i + len(images))) for i in range(len(images)))
    assert not found.identical


@given(st.floats(0, 0.05), st.floats(0.5, 1.1), st.integers(40, 95), st.integers(64, 300), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_copy_made_in_several_ways_is_found(share: float, gain: float, quality: int, side: int, mirror: bool) -> None:
    first, second = drawings()[:2]
    copy = jpeg(brighten(crop(first, share), gain).resize((side, side)), quality)
    if mirror:
        copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert find([first, second, copy]).near == (("0", "2"),)


def mammogram(seed: int) -> Image.Image:
    """Tissue of its own, in an outline and with a label that are every one's."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:256, 0:256] / 256
    depth = 1 - np.hypot(x / 0.55, (y - 0.5) / 0.42)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    frequency[0, 0] = 1
    waves = generator.normal(size=(2, *frequency.shape)) / frequency**1.3
    tissue = np.fft.irfft2(waves[0] + 1j * waves[1], (256, 256))
    levels = 90 + 60 * depth + 30 * (tissue - tissue.mean()) / tissue.std()
    pixels = np.clip(depth * 8, 0, 1) * levels + generator.normal(0, 1, (256, 256))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.text((205, 12), "R-CC", fill="white")
    pen.rectangle((192, 217, 243, 238), outline="white")
    return image


def test_an_outline_and_a_label_make_no_two_mammograms_alike_yet_a_copy_is_found() -> None:
    images = [mammogram(seed) for seed in range(24)]
    assert find([*images, jpeg(crop(images[3], 0.04))]).near == (("3", "24"),)


def test_blank_images_are_alike_only_where_they_are_identical() -> None:
    blank = [Image.new("RGB", FRAME, (level,) * 3) for level in (0, 0, 7, 128, 255)]
    noise = [Image.fromarray(np.random.default_rng(i).normal(4, 1, FRAME).astype(np.uint8)) for i in range(4)]
    found = find([*blank, *noise, *drawings()])
    assert (found.identical, found.near) == ((("0", "1"),), ())


def test_small_images_are_told_identical_alone() -> None:
    images = [image.resize((20, 20)) for image in drawings()[:3]]
    found = find([*images, images[0].copy(), brighten(images[1])])
    assert (found.images, found.compared) == (5, 0)
    assert (found.identical, found.near) == ((("0", "3"),), ())
    split = leaks.across(found, {"train": ["0"], "test": ["1"]}, None)
    assert any("5 images under 24 pixels" in line for line in split.notices())


def test_no_images_and_one_image_have_nothing_twice() -> None:
    empty = Fingerprints(np.empty(0, fingerprint(drawings()[0]).dtype), np.empty(0, str), np.empty(0, int))
    for found in (leaks.find(empty), find(drawings()[:1])):
        assert (found.clusters, found.conflicting) == ([], ())


def test_images_with_two_labels_are_told_identical_and_near_ones_apart() -> None:
    first, second = drawings()[:2]
    found = find([first, first, first, second, jpeg(second)], labels=[0, 0, 1, 0, 1])
    assert found.conflicting == (("0", "1", "2"),)
    assert found.near_conflicting == (("3", "4"),)


FOUND = Duplicates(8, 8, (("a", "b"), ("c", "d")), (("c", "d", "e"), ("f", "g")), (("a", "b"),), ())
PARTS = {"train": ["a", "c", "d", "f"], "val": ["e"], "test": ["b", "g", "h"]}


def test_what_stands_on_both_sides_of_a_split() -> None:
    groups = {"train": ["1", "2", "2", "3"], "val": ["2"], "test": ["1", "4", "5"]}
    found = leaks.across(FOUND, PARTS, groups)
    assert found.identical == ({"train": ["a"], "test": ["b"]},)
    assert found.near == ({"train": ["c", "d"], "val": ["e"]}, {"train": ["f"], "test": ["g"]})
    assert found.groups == {"1": ["train", "test"], "2": ["train", "val"]}
    assert found.copied == {"val": 1, "test": 2}
    assert not found.clean
    told = "\n".join(found.notices())
    for words in ("a (train) ~ b (test)", "1 of val and 2 of test have a copy in train", "1 (train, test)", "a = b"):
        assert words in told


def test_duplicates_within_a_split_and_in_none_are_no_leak_but_are_told() -> None:
    parts = {"train": ["c", "d", "e"], "val": ["f", "g"], "test": ["h"]}
    found = leaks.across(FOUND, parts, parts)
    assert found.clean
    assert found.copied == {"val": 0, "test": 0}
    told = found.notices()
    assert not any(line.startswith("LEAK") for line in told)
    assert any("in no split: a = b" in line for line in told)
    assert "2 lists of near-identical images in the data set (5 images)" in told


def test_a_record_holds_whole_counts_and_two_hundred_names() -> None:
    pairs = tuple((f"a{i}", f"b{i}") for i in range(150))
    found = leaks.across(
        Duplicates(300, 300, (), pairs, (), ()), {"train": [a for a, _ in pairs], "test": [b for _, b in pairs]}, None
    )
    facts = json.loads(json.dumps(found.facts()))
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
    images = [*drawings()[:11], jpeg(drawings()[0])]
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


def test_images_are_seen_before_mixed_groups_are_dropped_and_at_their_own_size(folder: Path) -> None:
    small, large = (datasets.load(Request(str(folder), size)) for size in (8, 40))
    assert not set(PAIR) & {name for part in small.splits.values() for name in part.names}
    assert small.duplicates == large.duplicates
    assert small.duplicates.conflicting == (PAIR,)
    assert small.duplicates.near == (("benign/0.png", "malignant/5.png"),)
    assert small.duplicates.near_conflicting == small.duplicates.near


def test_a_split_by_image_with_copies_is_told_loudly(folder: Path) -> None:
    (folder / "groups.csv").unlink()
    notices = [
        datasets.load(Request(str(folder), 8, split_seed=seed, by_group=False)).leaks().notices() for seed in range(8)
    ]
    assert any(line.startswith("LEAK: 1 lists of near-identical images") for lines in notices for line in lines)
    assert all(any(f"with different labels: {' = '.join(PAIR)}" in line for line in lines) for lines in notices)


def test_what_comes_as_arrays_is_compared_as_it_came(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for number, name in enumerate(("train", "val", "test")):
        chosen = drawings()[4 * number : 4 * number + 4]
        arrays[f"{name}_images"] = np.stack([np.asarray(image.convert("L")) for image in chosen])
        arrays[f"{name}_labels"] = np.array([[0], [1], [0], [1]], np.uint8)
    arrays["test_images"][1] = arrays["train_images"][3]
    np.savez(tmp_path / "some.npz", **arrays)
    found = datasets.load(Request(str(tmp_path / "some.npz"), 8)).leaks()
    assert found.identical == ({"train": ["train/0003"], "test": ["test/0001"]},)
    assert found.groups is None


def test_records_are_marked_with_the_leaks_of_their_split(tmp_path: Path, folder: Path) -> None:
    job = factory.job(str(folder), batch_size=1)
    run = Run([job], tmp_path / "results")
    told = run.check()
    assert any("with different labels, in no split" in line for line in told)
    run.keep(job, factory.record(run=run.id))
    stored = Record.from_json(run.file.read_text(encoding="utf-8"))
    assert stored.dataset["leaks"]["conflicting"]["listed"] == [list(PAIR)]
    assert stored.dataset["leaks"]["notices"]


def test_data_that_leaks_is_refused_where_clean_data_is_asked_for(tmp_path: Path, folder: Path) -> None:
    """By groups the copies lie on both sides of some split; where the images differ, of none."""
    jobs = [factory.job(str(folder), batch_size=1, split_seed=seed) for seed in range(8)]
    with pytest.raises(UsageError, match="--require-clean: data set set leaks: LEAK: 1 lists of near-identical images"):
        Run(jobs, tmp_path / "results", require_clean=True).check()
    (folder / "malignant" / "5.png").unlink()
    Run(jobs, tmp_path / "results", require_clean=True).check()


def test_on_busi_the_known_groups_and_the_known_pair_are_found(real_data: Path) -> None:
    request = Request(str(real_data / "busi"), 64)
    found = datasets.load(request).duplicates
    assert found.conflicting == (("benign/benign (433).png", "malignant/malignant (145).png"),)
    with (real_data / "busi" / "groups.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] != "normal"]
    recovery = leaks.recover(found.clusters, {row["path"]: row["group"] for row in rows})
    assert recovery.groups > 100
    assert len(recovery.missed) <= 0.1 * recovery.groups


def test_micrographs_of_one_patient_are_not_near_identical(real_data: Path) -> None:
    found = datasets.load(Request(str(real_data / "breakhis-sample"), 64)).duplicates
    assert (found.compared, found.clusters) == (22, [])
