"""Duplicates: copies are found however they were made, and pictures that only resemble each other are not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from bcdl import datasets
from bcdl.datasets import Request, duplicates
from bcdl.datasets.fingerprint import FINGERPRINT, Fingerprinted, Fingerprints
from tests.pictures import FRAME, brighten, drawings, find, jpeg


def crop(image: Image.Image, share: float = 0.05) -> Image.Image:
    width, height = image.size
    return image.crop((int(share * width), int(share / 2 * height), int((1 - share / 2) * width), height))


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
    result = find([*images, *(COPIES[way](image) for image in images)])
    assert sorted(result.near) == sorted((str(i), str(i + len(images))) for i in range(len(images)))
    assert not result.identical


@given(st.floats(0, 0.05), st.floats(0.5, 1.1), st.integers(40, 95), st.integers(64, 300), st.booleans())
@settings(max_examples=25)
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


def test_an_outline_and_a_label_make_no_near_duplicates_of_mammograms_yet_a_copy_is_found() -> None:
    images = [mammogram(seed) for seed in range(24)]
    assert find([*images, jpeg(crop(images[3], 0.04))]).near == (("3", "24"),)


def test_blank_images_are_duplicates_only_if_they_are_identical() -> None:
    blank = [Image.new("RGB", FRAME, (level,) * 3) for level in (0, 0, 7, 128, 255)]
    noise = [Image.fromarray(np.random.default_rng(i).normal(4, 1, FRAME).astype(np.uint8)) for i in range(4)]
    result = find([*blank, *noise, *drawings()])
    assert (result.identical, result.near) == ((("0", "1"),), ())


def test_no_images_and_one_image_have_nothing_twice() -> None:
    empty = Fingerprints(Fingerprinted.of(np.empty(0, FINGERPRINT)), np.empty(0, str), np.empty(0, int))
    for result in (duplicates.find(empty), find(drawings()[:1])):
        assert (result.clusters, result.conflicting) == ([], ())


def test_images_with_two_labels_are_reported_identical_and_near_ones_apart() -> None:
    first, second = drawings()[:2]
    result = find([first, first, first, second, jpeg(second)], labels=[0, 0, 1, 0, 1])
    assert result.conflicting == (("0", "1", "2"),)
    assert result.near_conflicting == (("3", "4"),)


def test_on_busi_the_known_groups_and_the_known_pair_are_found(real_data: Path) -> None:
    request = Request(str(real_data / "busi"), 64)
    result = datasets.load(request).duplicates
    assert result.conflicting == (("benign/benign (433).png", "malignant/malignant (145).png"),)
    with (real_data / "busi" / "groups.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] != "normal"]
    recovery = duplicates.recover(result.clusters, {row["path"]: row["group"] for row in rows})
    assert recovery.groups > 100
    assert len(recovery.missed) <= 0.1 * recovery.groups


def test_micrographs_of_one_patient_are_not_near_identical(real_data: Path) -> None:
    result = datasets.load(Request(str(real_data / "breakhis-sample"), 64)).duplicates
    assert (result.compared, result.clusters) == (22, [])
