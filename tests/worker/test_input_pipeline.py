"""Batches: every one full, an order of its own each epoch, the same bytes whatever thread made them."""

import contextlib
import dataclasses
import hashlib
import itertools
import math
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.datasets import Split
from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.worker import input_pipeline
from bcdl.worker.input_pipeline import InputPipeline, one_hot, padded

# Of the first batches, images and labels, by the images' number and size, batch size, seed and batches; as the pipeline
# made them that warped each image with a generator of its own, on which the answers of committed records rest.
CHECKSUMS = {
    (37, 24, 8, 0, 12): ("9ea85cc6841f6419282ddb3f7876e631", "71f52e0e710b5839a4cdda41b3ed1406"),
    (70, 96, 32, 3, 6): ("98e2c5a51cc9ea088c2a798c3d8c589b", "f43f3b0a8114746ee42471bb57646638"),
    (33, 224, 32, 2**31, 2): ("dc1626bafe7d84ebbb2001934c82acd8", None),
    (20, 33, 5, 123456789012, 9): ("37c5988cdcc0e75cbc6dc3b2bdbd40fb", None),
}


def split(count: int) -> Split:
    """Images that hold their own index, so that a batch shows which it has."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    names = np.array([str(i) for i in range(count)])
    return Split(images, np.arange(count) % 2, names, names, np.ones(count, bool))


def noise(count: int, size: int) -> Split:
    images = np.random.default_rng(size).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    names = np.array([str(i) for i in range(count)])
    labels = np.random.default_rng(1).integers(0, 2, count)
    return Split(images, labels, names, names, np.ones(count, bool))


def checksum(pipeline: InputPipeline, batches: int) -> str:
    digest = hashlib.sha256()
    for images, labels in itertools.islice(pipeline.stream(), batches):
        digest.update(images.tobytes())
        digest.update(labels.tobytes())
    return digest.hexdigest()[:32]


def running() -> list[str]:
    """Names of the pipelines' threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("input-pipeline")]


@pytest.mark.parametrize("case", CHECKSUMS)
@pytest.mark.parametrize("cores", [1, 5])
def test_the_same_seed_gives_the_bytes_that_it_always_gave(
    case: tuple[int, ...], cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "cores_allowed", lambda: cores)
    count, size, batch_size, seed, batches = case
    augmented, plain = CHECKSUMS[case]
    if plain:
        assert checksum(InputPipeline(noise(count, size), batch_size, seed, augmented=False), batches) == plain
    if not {"avx2", "fma"} <= set(hardware.instructions()):
        pytest.skip("without AVX2 and FMA, OpenCV's warp rounds otherwise")
    assert checksum(InputPipeline(noise(count, size), batch_size, seed, augmented=True), batches) == augmented


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("batch_size", [2, 70])
def test_pieces_of_a_batch_are_the_batch(batch_size: int, augmented: bool) -> None:
    """One thread makes all of a batch, or several a piece each: the last piece is smaller."""
    pipeline = InputPipeline(noise(90, 16), batch_size, seed=1, augmented=augmented)
    for step, (images, labels) in enumerate(itertools.islice(pipeline.stream(), pipeline.steps_per_epoch)):
        wanted_images, wanted_labels = pipeline.batch(0, step)
        np.testing.assert_array_equal(images, wanted_images)
        np.testing.assert_array_equal(labels, wanted_labels)


@pytest.mark.parametrize("augmented", [True, False])
def test_images_of_a_file_that_is_mapped_and_read_only_give_the_same_batches(augmented: bool, tmp_path: Path) -> None:
    source = noise(20, 16)
    np.save(tmp_path / "images.npy", source.images)
    mapped = dataclasses.replace(source, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    of_file, of_memory = (InputPipeline(split, 5, seed=2, augmented=augmented) for split in (mapped, source))
    assert checksum(of_file, 8) == checksum(of_memory, 8)
    np.testing.assert_array_equal(source.images, mapped.images)


def test_a_batch_is_in_memory_of_its_own() -> None:
    batches = list(itertools.islice(InputPipeline(noise(12, 16), 4, seed=0, augmented=True).stream(), 9))
    for one, other in itertools.combinations(batches, 2):
        assert not any(np.shares_memory(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("allowed", [None, 0.5, 2, 6.5])
def test_there_are_as_many_threads_as_cores_that_may_be_used(
    allowed: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "cores_allowed", lambda: allowed)
    wanted = psutil.cpu_count() if allowed is None else math.ceil(allowed)
    assert input_pipeline.threads() == wanted
    with contextlib.closing(InputPipeline(noise(64, 96), 2, seed=0, augmented=True).stream()) as stream:
        next(stream)
        assert 1 <= len(running()) <= wanted


@given(st.integers(1, 300), st.integers(1, 4096), st.sampled_from([32, 96, 224]))
def test_what_is_made_ahead_keeps_every_thread_busy_and_is_bounded(cores: int, batch_size: int, size: int) -> None:
    one = np.broadcast_to(np.uint8(0), (batch_size, size, size, 3))
    names = np.broadcast_to(np.array("0"), batch_size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hardware, "cores_allowed", lambda: cores)
        images = Split(one, np.zeros(batch_size, int), names, names, np.ones(batch_size, bool))
        ahead = InputPipeline(images, batch_size, 0, True).batches_ahead
    pieces = ahead * math.ceil(batch_size / input_pipeline._PIECE)
    assert pieces >= 2 * cores or (ahead + 1) * batch_size * size * size * 3 > 2**30
    assert ahead * batch_size * size * size * 3 <= 2**30 or ahead == 2


def test_no_more_is_made_ahead_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    pipeline = InputPipeline(noise(64, 16), 4, seed=0, augmented=False)
    fill = pipeline._fill
    monkeypatch.setattr(pipeline, "_fill", lambda *part: made.append(fill(*part)))
    with contextlib.closing(pipeline.stream()) as stream:
        for drawn in range(1, 9):
            next(stream)
            time.sleep(0.02)
            assert len(made) <= drawn + pipeline.batches_ahead


class UnreadableError(Exception):
    """What a file of images that can't be read raises."""


@pytest.mark.parametrize("method", ["_fill", "_draw"])
def test_an_error_in_a_thread_comes_out_of_the_stream_as_itself(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise UnreadableError("image 3")

    pipeline = InputPipeline(noise(64, 16), 4, seed=0, augmented=False)
    stream = pipeline.stream()
    next(stream)
    monkeypatch.setattr(pipeline, method, fails)
    with pytest.raises(UnreadableError, match="image 3"):
        list(itertools.islice(stream, 100))
    assert running() == []


def test_a_stream_that_is_closed_early_ends_its_threads() -> None:
    with contextlib.closing(InputPipeline(noise(64, 16), 4, seed=0, augmented=True).stream()) as stream:
        next(stream)
        assert running()
    assert running() == []


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_has_full_batches_and_no_image_twice(count: int, batch_size: int, epoch: int) -> None:
    if batch_size > count:
        with pytest.raises(UsageError, match="more than the"):
            InputPipeline(split(count), batch_size, seed=0, augmented=False)
        return
    pipeline = InputPipeline(split(count), batch_size, seed=0, augmented=False)
    batches = [pipeline.batch(epoch, step) for step in range(pipeline.steps_per_epoch)]
    seen = np.concatenate([images[:, 0, 0, 0] for images, _ in batches])
    assert all(len(images) == batch_size for images, _ in batches)
    assert len(set(seen.tolist())) == count // batch_size * batch_size
    labels = np.concatenate([labels.argmax(axis=1) for _, labels in batches])
    np.testing.assert_array_equal(labels, seen % 2)


def test_the_order_changes_with_the_epoch_and_the_seed_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return InputPipeline(split(32), 32, seed, augmented=False).batch(epoch, 0)[0][:, 0, 0, 0].tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


@pytest.mark.parametrize("augmented", [True, False])
def test_the_stream_is_the_epochs_one_after_another(augmented: bool) -> None:
    pipeline = InputPipeline(noise(10, 8), 3, seed=7, augmented=augmented)
    streamed = list(itertools.islice(pipeline.stream(), 9))
    for (images, labels), (epoch, step) in zip(streamed, itertools.product(range(3), range(3)), strict=True):
        wanted_images, wanted_labels = pipeline.batch(epoch, step)
        np.testing.assert_array_equal(images, wanted_images)
        np.testing.assert_array_equal(labels, wanted_labels)


@given(st.integers(1, 30), st.integers(1, 12))
def test_padding_fills_the_last_batch_and_loses_nothing(count: int, batch_size: int) -> None:
    values = np.arange(count)[:, None]
    batches = list(padded(values, batch_size))
    assert all(len(batch) == batch_size for batch in batches)
    np.testing.assert_array_equal(np.concatenate(batches)[:count], values)


def test_one_hot_puts_benign_first() -> None:
    np.testing.assert_array_equal(one_hot(np.array([0, 1])), [[1, 0], [0, 1]])
