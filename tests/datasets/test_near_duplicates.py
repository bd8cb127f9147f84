"""The quick search for near-duplicates gives the lists of the plain one, whatever the order of images and the cores."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from bcdl.datasets import Request, cache, candidates, near_duplicates, orientations
from bcdl.datasets.fingerprint import MARKS, Fingerprints, fingerprint
from bcdl.datasets.sources import synthetic
from bcdl.machine import hardware
from tests.datasets import plain_search
from tests.pictures import brighten, jpeg
from tests.screens import Terminal

SIDE = 50  # pixels, as of small patches


def copy(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The image in some of the ways in which a copy may differ, drawn at random."""
    left, top, right, bottom = generator.uniform(0, 0.05, 4)
    width, height = image.size
    image = image.crop((int(left * width), int(top * height), int((1 - right) * width), int((1 - bottom) * height)))
    if generator.random() < 0.5:
        image = brighten(image, generator.uniform(0.6, 1.1))
    if generator.random() < 0.3:
        image = image.copy()
        pen = ImageDraw.Draw(image)
        pen.text((2, 2), "L", fill="white")
        pen.line((0.4 * width, 0.6 * height, 0.7 * width, 0.6 * height), fill="yellow")
    if generator.random() < 0.5:
        image = image.transpose(Image.Transpose(int(generator.integers(7))))
    if generator.random() < 0.5:
        image = jpeg(image, int(generator.integers(60, 95)))
    return image


def patches(images: Sequence[Image.Image], count: int, side: int, generator: np.random.Generator) -> list[Image.Image]:
    """So many squares of the images, the same place of an image now and then, nearly."""
    cut = []
    for number in range(count):
        image = images[number % len(images)]
        x, y = generator.integers(0, image.width - side), generator.integers(0, image.height - side)
        cut.append(image.crop((x, y, x + side, y + side)))
    return cut


def with_copies(images: Sequence[Image.Image], copies: int, seed: int) -> np.ndarray:
    """The grey fingerprints of the images and of copies of some of them, all scaled to 50 pixels."""
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(images), copies)
    every = [*images, *(copy(images[place], generator) for place in chosen)]
    return fingerprints([np.asarray(image.resize((SIDE, SIDE))) for image in every])["grey"]


def fingerprints(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([fingerprint(Image.fromarray(image).convert("RGB")) for image in images])


def lists(clusters: np.ndarray) -> list[list[int]]:
    """The images of each cluster, whatever it is called."""
    return sorted(np.flatnonzero(clusters == cluster).tolist() for cluster in np.unique(clusters))


def search(greys: np.ndarray) -> list[list[int]]:
    return lists(near_duplicates.clusters(greys, np.arange(len(greys))))


def assert_as_plain(greys: np.ndarray, least: int) -> None:
    """The lists are those of the plain search, and as many as `least` hold several images."""
    found = search(greys)
    assert found == lists(plain_search.clusters(greys))
    assert sum(len(images) > 1 for images in found) >= least


def drawings(count: int, side: int) -> list[Image.Image]:
    return [Image.fromarray(image) for image in synthetic.read(Request(f"synthetic-{count}", side)).images]


def test_lists_of_four_thousand_drawings_and_copies_are_those_of_the_plain_search() -> None:
    assert_as_plain(with_copies(drawings(3600, SIDE), 400, 1), 300)


def test_lists_of_patches_that_overlap_and_copies_are_those_of_the_plain_search() -> None:
    cut = patches(drawings(36, 400), 500, 100, np.random.default_rng(0))
    assert_as_plain(with_copies(cut, 100, 1), 20)


def test_lists_of_ultrasound_images_and_copies_are_those_of_the_plain_search(real_data: Path) -> None:
    files = sorted((real_data / "busi").glob("*/*.png"))[::4]
    assert_as_plain(with_copies([Image.open(file).convert("RGB") for file in files], 300, 2), 100)


def test_lists_of_micrographs_patches_and_copies_are_those_of_the_plain_search(real_data: Path) -> None:
    whole = [Image.open(file).convert("RGB") for file in sorted((real_data / "breakhis-sample").glob("*/*.png"))]
    cut = [patches(whole, 150, side, np.random.default_rng(side)) for side in (50, 150)]
    assert_as_plain(with_copies([*whole, *cut[0], *cut[1]], 200, 3), 100)


def blank() -> list[np.ndarray]:
    return [np.full((SIDE, SIDE, 3), level, np.uint8) for level in range(12)]


def noise() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(60)]


def one_outline() -> list[np.ndarray]:
    """A shape that all share, of which more than eight are equally similar to each."""
    generator = np.random.default_rng(0)
    shape = np.zeros((SIDE, SIDE, 3))
    shape[10:30, 15:45] = 150
    return [np.clip(shape + generator.normal(40, 8, shape.shape), 0, 255).astype(np.uint8) for _ in range(40)]


def one_grey() -> list[np.ndarray]:
    """Twenty images that differ in colour alone, and not in the grey of any pixel by more than rounding."""
    picture = synthetic.read(Request("synthetic-36", SIDE)).images[0]
    return [np.clip(picture + np.array([0, 0, step]), 0, 255).astype(np.uint8) for step in range(20)]


@pytest.mark.parametrize("images", [blank, noise, one_outline, one_grey])
def test_lists_of_images_that_are_hard_to_tell_apart_are_those_of_the_plain_search(
    images: Callable[[], list[np.ndarray]],
) -> None:
    assert_as_plain(fingerprints(images())["grey"], 0)


def test_lists_depend_neither_on_the_order_of_the_images_nor_on_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    greys = with_copies(drawings(80, 96), 60, 4)
    expected = search(greys)
    order = np.random.default_rng(0).permutation(len(greys))
    found = near_duplicates.clusters(greys, order)
    assert sorted(sorted(order[places].tolist()) for places in lists(found)) == expected
    monkeypatch.setattr(cache, "read", lambda *_: None)
    for cores in (1, 7):
        monkeypatch.setattr(hardware, "cores_allowed", lambda cores=cores: cores)
        assert search(greys) == expected


descriptors = st.integers(1, 40).flatmap(
    lambda count: st.tuples(st.just(count), st.integers(0, 2**32 - 1), st.integers(1, 20))
)


@given(descriptors, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_candidates_are_the_most_similar_in_any_orientation(drawn: tuple[int, int, int], side: int) -> None:
    count, seed, kinds = drawn
    generator = np.random.default_rng(seed)
    # Few kinds, so that many are nearly equal, turned or not.
    kind = generator.normal(size=(kinds, 4, 4))
    some = np.stack([orientations.turn(kind[generator.integers(kinds)], generator.integers(8)) for _ in range(count)])
    some += generator.uniform(0.2, 0.6, (count, 1, 1)) * generator.normal(size=some.shape)
    some -= some.mean((1, 2), keepdims=True)
    described = (some / np.linalg.norm(some, axis=(1, 2), keepdims=True)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_SIDE", side)
        pairs, turns = candidates.most_similar(described)
    found = [(*pair, turned) for pair, turned in zip(pairs.tolist(), turns.tolist(), strict=True)]
    assert sorted(found) == sorted(most_similar_by_all_products(described))


def most_similar_by_all_products(described: np.ndarray) -> list[tuple[int, int, int]]:
    flat = described.reshape(len(described), -1).astype(np.float64)
    turned = [orientations.turn(described, number).reshape(flat.shape).astype(np.float64) for number in range(8)]
    products = np.stack([flat @ others.T for others in turned]).round(9)
    similarity, orientation = products.max(0), products.argmax(0)
    pairs: dict[tuple[int, int], tuple[int, int, int]] = {}
    for image, row in enumerate(similarity):
        others = [other for other in range(len(row)) if other != image and row[other] >= candidates.LEAST_SIMILARITY]
        for other in sorted(others, key=lambda other: (-row[other], other))[: candidates.MOST]:
            pair = (image, other, int(orientation[image, other]))
            pairs.setdefault((min(image, other), max(image, other)), pair)
    return list(pairs.values())


def test_a_search_is_done_once_for_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    greys = with_copies(drawings(36, 64), 20, 5)
    expected = search(greys)
    done: list[int] = []
    find = near_duplicates._find_clusters

    def count(greys: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        done.append(len(chosen))
        return find(greys, chosen)

    monkeypatch.setattr(near_duplicates, "_find_clusters", count)
    assert search(greys) == expected
    assert done == []
    changed = greys.copy()
    changed[3, 5, 7] ^= 1
    search(changed)
    search(greys[1:])
    assert done == [len(greys), len(greys) - 1]


@pytest.mark.parametrize(
    ("watched", "expected"), [(Terminal, ["describing images", "comparing images"]), (io.StringIO, [])]
)
def test_progress_is_shown_if_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, watched: type[io.StringIO], expected: list[str]
) -> None:
    screen = watched()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("bcdl.datasets.progress._LEAST", 1)
    near_duplicates.clusters(fingerprints([*noise()[:20], *blank()])["grey"], np.arange(31))
    shown = screen.getvalue()
    assert all(step in shown for step in expected)
    assert bool(shown) == bool(expected)


def test_fingerprints_of_arrays_are_those_of_images() -> None:
    images = np.stack(noise()[:5])
    made = Fingerprints.of(images, np.arange(5).astype(str), np.zeros(5, int))
    expected = fingerprints(list(images))
    assert made.images.greys().tobytes() == expected["grey"].tobytes()
    assert all((made.images.marks[name] == expected[name]).all() for name in MARKS.names)
