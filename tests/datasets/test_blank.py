"""Images that are near black beside the others are told, by class and split; sets that are dark as a whole are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import datasets
from bcdl.datasets import LABELS, Request, blank

SIDE = 8
APART = "figures would tell of that, not of the disease; save all with one depth"


def save(file: Path, most: int, dtype: type = np.uint8) -> None:
    """Noise whose greatest level is `most`, another for each file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(str(file).encode())).integers(0, most + 1, (SIDE, SIDE))
    pixels[0, 0] = most
    Image.fromarray(pixels.astype(dtype)).save(file)


def dark_notices(root: Path) -> list[str]:
    return [line for line in datasets.load(Request(str(root), SIDE)).notices if "have no level above" in line]


@pytest.mark.parametrize(
    ("benign", "malignant", "level"), [(4095, 65535, 16), (16383, 65535, 64), (1023, 16383, 16), (1, 255, 1)]
)
def test_a_class_of_another_depth_is_told(tmp_path: Path, benign: int, malignant: int, level: int) -> None:
    for number in range(10):
        for kind, most in (("benign", benign), ("malignant", malignant)):
            save(tmp_path / kind / f"{number}.png", most, np.uint16 if malignant > 255 else np.uint8)
    *of_depth, dark = dark_notices(tmp_path)
    counts = "10 of 10 benign, 0 of 10 malignant"
    assert dark == f"DARK: 10 of 20 images have no level above {level} of 255, others have 255 ({counts}): {APART}"
    assert [line.partition(":")[0] for line in of_depth] == (
        ["10 of 20 grey images have no level above what 12 bits hold"]
        if benign == 4095
        else ["10 of 20 grey images have no level above what 10 bits hold"]
        if benign == 1023
        else []
    )


def test_one_image_does_not_hide_the_others(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / "benign" / f"{number}.png", 255)
        save(tmp_path / "malignant" / f"{number}.png", 255 if number else 4095, np.uint16)
    of_depth, dark = dark_notices(tmp_path)
    assert of_depth.startswith("9 of 10 grey images have no level above what 8 bits hold: ")
    assert "(0 of 10 benign, 9 of 10 malignant)" in dark
    assert dark.startswith("DARK: 9 of 20 images")


@pytest.mark.parametrize(("dtype", "train", "test"), [(np.uint8, 255, 1), (np.uint16, 65535, 1023)])
def test_a_split_of_another_depth_is_told(tmp_path: Path, dtype: type, train: int, test: int) -> None:
    for split, most in (("train", train), ("test", test)):
        for kind in LABELS:
            for number in range(10):
                save(tmp_path / split / kind / f"{number}.png", most, dtype)
    (dark,) = (line for line in dark_notices(tmp_path) if line.startswith("DARK: "))
    assert "(10 of 20 benign, 10 of 20 malignant, 0 of 20 train, 20 of 20 test)" in dark


def test_a_class_of_one_colour_is_told(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / "malignant" / f"{number}.png", 255)
        (tmp_path / "benign").mkdir(exist_ok=True)
        Image.new("L", (SIDE, SIDE), number).save(tmp_path / "benign" / f"{number}.png")
    notices = datasets.load(Request(str(tmp_path), SIDE)).notices
    assert "10 images are of one colour, and show nothing (10 of 10 benign, 0 of 10 malignant)" in notices


def notices(high: list[int], labels: list[int]) -> list[str]:
    """The notices of images with these greatest levels."""
    images = np.zeros((len(high), SIDE, SIDE, 3), np.uint8)
    images[:, 0, 0] = np.array(high)[:, None]
    return blank.notices(images, np.array(labels), None)


def test_few_dark_images_are_told_without_alarm() -> None:
    assert notices([255] * 8 + [31, 20], [0, 1] * 5) == [
        "2 of 10 images have no level above 31 of 255, others have 255 (1 of 5 benign, 1 of 5 malignant): they may be "
        "of another depth; look at some"
    ]


def test_what_shows_nothing_is_no_measure_of_the_others() -> None:
    images = np.zeros((10, SIDE, SIDE, 3), np.uint8)
    images[:, 0, 0], images[0] = 30, 255
    assert blank.notices(images, np.arange(10) % 2, None) == ["1 images are of one colour, and show nothing"]


def test_sets_that_are_dark_as_a_whole_are_not_told() -> None:
    assert notices([60, 50, 40, 30, 20, 10] * 5, [0, 1] * 15) == []
    assert notices([255, 200, 100, 60, 40, 33] * 5, [0, 1] * 15) == []
    assert notices([60] * 10 + [20] * 10, [0] * 10 + [1] * 10) == []
