"""Batches: every one full, an order of its own each epoch, the same bytes whatever thread made them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.datasets import Split
from bcdl.errors import UsageError
from bcdl.worker.input_pipeline import InputPipeline, one_hot, padded


def split(count: int) -> Split:
    """Images that hold their own index, so that a batch shows which it has."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    names = np.array([str(i) for i in range(count)])
    return Split(images, np.arange(count) % 2, names, names)


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
    noise = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    source = split(10)
    pipeline = InputPipeline(Split(noise, source.labels, source.groups, source.names), 3, seed=7, augmented=augmented)
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
