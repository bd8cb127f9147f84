"""Splits keep their promise: no group cut, shares near those asked for, both classes, or a notice says why not."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bcdl.datasets import LABELS, SPLITS, Pool, Request, split
from bcdl.datasets.balance import deal
from bcdl.datasets.pool import FEW
from bcdl.errors import UsageError

SINGLE = (28, 4, 8)  # train, validation and test: 70, 10 and 20 percent
Sizes = Sequence[tuple[int, int]]  # benign and malignant images of each group


def sizes(least: int = 0, most: int = 40) -> st.SearchStrategy[Sizes]:
    """Groups of one class or of both, most of few images, some of very many."""
    size = st.one_of(st.integers(0, 3), st.integers(0, 400))
    return st.lists(st.tuples(size, size).filter(any), min_size=least, max_size=most)


def pool(groups: Sizes, given_to: Sequence[str] | None = None) -> Pool:
    """A pool of these groups, whose images know their group."""
    numbers = np.repeat(np.arange(len(groups)), [sum(group) for group in groups])
    labels = np.concatenate([np.repeat([0, 1], group) for group in groups]).astype(np.int64)
    names = np.array([f"{place:05d}" for place in range(len(labels))])
    parts = None if given_to is None else np.array(given_to)[numbers]
    images = np.zeros((len(labels), 1, 1, 3), np.uint8)
    return Pool("made up", True, images, labels, np.array([f"g{n}" for n in numbers]), names, parts)


def groups_by_class(groups: Sizes) -> list[int]:
    return [sum(group[label] > 0 for group in groups) for label in LABELS.values()]


def divided(groups: Sizes, **asked: int) -> tuple[Pool, dict[str, np.ndarray], list[str]]:
    made = pool(groups)
    parts, notices = split.split(made, Request("made up", 1, **asked))
    return made, parts, notices


def check(made: Pool, parts: dict[str, np.ndarray]) -> None:
    """All images are used once, no group is cut, and both classes are everywhere."""
    assert list(parts) == list(SPLITS)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(made.labels)))
    held = [set(made.groups[chosen]) for chosen in parts.values()]
    assert sum(map(len, held)) == len(set(made.groups))
    assert all(set(made.labels[chosen]) == {0, 1} for chosen in parts.values())


def off(parts: np.ndarray, groups: Sizes, weights: Sequence[int]) -> Fraction:
    """How far the shares are off those asked for: the squares over the shares, summed, exactly."""
    sums = Fraction(0)
    for quantity in ([sum(g) for g in groups], [g[0] for g in groups], [g[1] for g in groups]):
        for part, weight in enumerate(weights):
            asked = Fraction(weight, sum(weights))
            had = Fraction(sum(itertools.compress(quantity, np.asarray(parts) == part)), sum(quantity))
            sums += (had - asked) ** 2 / asked
    return sums


@settings(max_examples=150, deadline=None)
@given(sizes(3), st.integers(0, 1000))
def test_a_split_has_both_classes_everywhere_if_three_groups_of_each_are_there_and_else_is_refused(
    groups: Sizes, seed: int
) -> None:
    assume(all(groups_by_class(groups)))
    if min(groups_by_class(groups)) < 3:
        benign, malignant = groups_by_class(groups)
        with pytest.raises(UsageError, match=f"{benign} benign and {malignant} malignant ones left, and 3 of each"):
            divided(groups, split_seed=seed)
    else:
        made, parts, _ = divided(groups, split_seed=seed)
        check(made, parts)


@settings(max_examples=100, deadline=None)
@given(sizes(2), st.integers(2, 6), st.integers(0, 1000))
def test_every_image_is_tested_in_one_fold_of_both_classes(groups: Sizes, folds: int, seed: int) -> None:
    assume(all(groups_by_class(groups)))
    if min(groups_by_class(groups)) < max(folds, 4 if folds == 2 else 0):
        with pytest.raises(UsageError, match="too few groups to split"):
            divided(groups, split_seed=seed, folds=folds)
        return
    tested = []
    for fold in range(folds):
        made, parts, _ = divided(groups, split_seed=seed, folds=folds, fold=fold)
        check(made, parts)
        tested.append(parts["test"])
    assert sorted(np.concatenate(tested)) == list(range(len(made.labels)))


@settings(max_examples=60, deadline=None)
@given(sizes(3, 7), st.integers(0, 1000), st.sampled_from([SINGLE, (7, 1), (1, 1, 1)]))
def test_of_few_groups_the_deal_is_the_best_of_all(groups: Sizes, seed: int, weights: tuple[int, ...]) -> None:
    parts = range(len(weights))
    assume(min(groups_by_class(groups)) >= len(weights))
    dealt = deal(np.array(groups), weights, [seed])

    def whole(parts_of: Sequence[int]) -> bool:
        held = [[g for g, part in zip(groups, parts_of, strict=True) if part == wanted] for wanted in parts]
        return all(any(group[label] for group in of) for of in held for label in (0, 1))

    every = filter(whole, itertools.product(parts, repeat=len(groups)))
    best = min(off(np.array(each), groups, weights) for each in every)
    assert whole(dealt.tolist())
    assert off(dealt, groups, weights) <= best + Fraction(1, 1000)  # shares are counted in hundred-thousandths


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.just(0)), min_size=20, max_size=60),
    st.lists(st.tuples(st.just(0), st.integers(1, 4)), min_size=20, max_size=60),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=20),
    st.integers(0, 1000),
)
def test_of_many_small_groups_all_shares_are_kept_silently(a: Sizes, b: Sizes, both: Sizes, seed: int) -> None:
    _, _, notices = divided([*a, *b, *both], split_seed=seed)
    assert not [notice for notice in notices if "instead of" in notice]


@settings(max_examples=100, deadline=None)
@given(sizes(6, 30), st.integers(0, 1000), st.sampled_from([0, 3, 10]))
def test_there_is_a_notice_of_a_share_if_and_only_if_it_is_off(groups: Sizes, seed: int, folds: int) -> None:
    assume(min(groups_by_class(groups)) >= max(3, folds))
    made, parts, notices = divided(groups, split_seed=seed, folds=folds)
    test = 1 / (folds or 5)
    asked = {"train": 7 / 8 * (1 - test), "val": 1 / 8 * (1 - test), "test": test}
    of_class = {"benign images": made.labels == 0, "malignant images": made.labels == 1}
    for what, chosen in {"images": np.full(len(made.labels), True), **of_class}.items():
        shares = {name: chosen[part].sum() / chosen.sum() for name, part in parts.items()}
        far = [abs(shares[name] - share) - min(0.03, 0.3 * share) for name, share in asked.items()]
        assume(all(abs(distance) > 1e-9 for distance in far))  # floats do not tell
        told = [notice for notice in notices if re.match(rf"[\d/]+ {what} in train/val/test, .* instead of", notice)]
        assert len(told) == any(distance > 0 for distance in far)


@settings(max_examples=60, deadline=None)
@given(sizes(6), st.integers(0, 1000), st.sampled_from([0, 3]))
def test_the_order_of_images_makes_no_difference(groups: Sizes, seed: int, folds: int) -> None:
    assume(min(groups_by_class(groups)) >= 3)
    for by_group in (True, False):
        request = Request("made up", 1, seed, folds=folds, by_group=by_group)
        made = pool(groups)
        order = np.random.default_rng(seed).permutation(len(made.labels))
        other = Pool("made up", True, made.images, made.labels[order], made.groups[order], made.names[order])
        parts, _ = split.split(made, request)
        of_other, _ = split.split(other, request)
        for name in SPLITS:
            assert set(made.names[parts[name]]) == set(other.names[of_other[name]])


@settings(max_examples=60, deadline=None)
@given(sizes(6), st.integers(0, 1000))
def test_few_images_or_groups_of_a_class_are_told(groups: Sizes, seed: int) -> None:
    assume(min(groups_by_class(groups)) >= 3)
    made, parts, notices = divided(groups, split_seed=seed)
    for name, chosen in parts.items():
        for kind, label in LABELS.items():
            count = len(set(made.groups[chosen][made.labels[chosen] == label]))
            told = any(n.startswith(f"the {name} split has") and f" {kind} image" in n for n in notices)
            assert told == (count < FEW)


def test_three_malignant_images_leave_the_shares_of_all_others_as_they_are() -> None:
    _, parts, notices = divided([(1, 0)] * 297 + [(0, 1)] * 3)
    assert {name: len(chosen) for name, chosen in parts.items()} == {"train": 210, "val": 30, "test": 60}
    assert notices == [
        "1/1/1 malignant images in train/val/test, 33/33/33 percent instead of 70/10/20: there are only 3 malignant "
        "images in all",
        "the train split has only 1 malignant image: every model learns from no more",
        "the val split has only 1 malignant image: what validation chooses, the epoch kept and a threshold, rests on "
        "that",
        "the test split has only 1 malignant image: every figure of it rests on that",
    ]


def test_a_patient_with_most_malignant_images_is_named_as_the_reason() -> None:
    _, parts, notices = divided([(1, 0)] * 200 + [(0, 1)] * 20 + [(0, 80)])
    assert len(parts["train"]) > 150
    (told,) = [notice for notice in notices if "malignant images in train" in notice]
    assert told.endswith(": one group alone has 80 of the 100, and is not cut")


def test_a_class_of_few_large_patients_is_told_with_its_counts() -> None:
    _, _, notices = divided([(1, 0)] * 100 + [(0, 10)] * 5)
    (told,) = [notice for notice in notices if "malignant images in train" in notice]
    assert told.endswith(": the 50 are of 5 groups, the largest with 10, and none is cut")


def test_a_split_that_the_source_gives_stays_and_tells_what_it_has_few_of() -> None:
    groups = [(1, 0)] * 40 + [(0, 1)] * 11
    given_to = ["train"] * 20 + ["val"] * 10 + ["test"] * 10 + ["train"] * 9 + ["test"] * 2
    made = pool(groups, given_to)
    parts, notices = split.split(made, Request("made up", 1))
    assert [len(part) for part in parts.values()] == [29, 10, 12]
    assert notices == [
        "the val split has no malignant images: what validation chooses, the epoch kept and a threshold, rests on that",
        "the test split has only 2 malignant images: every figure of it rests on that",
    ]


def test_what_is_carved_from_a_given_split_keeps_its_share_or_is_told() -> None:
    made = pool([(1, 0)] * 80 + [(0, 1)] * 2 + [(1, 0)] * 9 + [(0, 1)] * 9, ["train"] * 82 + ["test"] * 18)
    parts, notices = split.split(made, Request("made up", 1))
    assert len(parts["val"]) == 11
    assert notices[:2] == [
        "no validation split: 11 images carved from train, by group",
        "1/1 malignant images in train/val, 50/50 percent instead of 88/12: there are only 2 malignant images in all",
    ]


def test_a_given_split_without_a_class_is_refused_with_its_counts() -> None:
    made = pool([(1, 0)] * 9 + [(0, 1)] * 4, ["train"] * 6 + ["test"] * 3 + ["train"] * 4)
    with pytest.raises(UsageError, match="split test of 3 benign and 0 malignant images; give it both classes"):
        split.split(made, Request("made up", 1))


def test_large_groups_are_in_every_split_as_often_as_small_ones() -> None:
    """Of fifty large patients among 300 a tenth validates, over seeds: none is put anywhere for its size."""
    groups = np.array([(900 + place, 300) for place in range(50)] + [(50, place % 9) for place in range(250)])
    counts = np.mean([np.bincount(deal(groups, SINGLE, [seed])[:50], minlength=3) for seed in range(20)], axis=0)
    np.testing.assert_allclose(counts / 50, [0.7, 0.1, 0.2], atol=0.05)


def test_seeds_deal_in_other_ways() -> None:
    groups = np.array([(1, 0)] * 30 + [(0, 1)] * 30)
    assert len({deal(groups, SINGLE, [seed]).tobytes() for seed in range(20)}) == 20


def test_the_deal_of_a_seed_never_changes() -> None:
    """On any platform and under any version of NumPy: committed records rest on it."""
    groups = np.array([(place * place % 29 + 1, place % 5) for place in range(200)])
    digest = hashlib.sha256(b"".join(deal(groups, SINGLE, [seed]).astype("<i8").tobytes() for seed in range(5)))
    assert digest.hexdigest() == "067cf5a6b6cb122cae0d50db59634a8f3a635ef26d0da69d6d01d8ebc1817638"


@pytest.mark.parametrize(
    ("groups", "images"), [(50_000, 1), (280, 990)], ids=["50,000 images alone", "280 patients of 277,000"]
)
def test_large_sets_are_split_in_seconds(groups: int, images: int) -> None:
    raw = np.random.MT19937(1).random_raw(2 * groups).astype(np.int64)
    sizes_of = np.column_stack([raw[:groups] % (2 * images) + (images > 1), raw[groups:] % (images + 1)])
    table = sizes_of if images > 1 else np.eye(2, dtype=np.int64)[raw[:groups] % 2]
    start = time.process_time()
    for weights in (SINGLE, (1,) * 10):
        dealt = deal(table, weights, [0])
        held = np.stack([table[dealt == part].sum(axis=0) for part in range(len(weights))]) / table.sum(axis=0)
        np.testing.assert_allclose(held, np.array(weights)[:, None].repeat(2, axis=1) / sum(weights), atol=0.01)
    assert time.process_time() - start < 10
