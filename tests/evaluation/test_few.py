"""Which figures rest on few images or groups of a class, whatever the other class has."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcdl.evaluation import few
from bcdl.records.record import Record
from tests.factory import record
from tests.predictions import predicted, split


def counted(**of_split: tuple[int, int, int, int]) -> Record:
    """A record whose splits have so many benign and malignant images, of so many groups; enough if not named."""
    counts = {"train": (90, 90, 30, 30), "val": (30, 30, 9, 9), "test": (30, 30, 9, 9), **of_split}
    facts = {
        "images": {name: benign + malignant for name, (benign, malignant, _, _) in counts.items()},
        "malignant": {name: malignant for name, (_, malignant, _, _) in counts.items()},
        "benign_groups": {name: groups for name, (_, _, groups, _) in counts.items()},
        "malignant_groups": {name: groups for name, (_, _, _, groups) in counts.items()},
    }
    made = record()
    return dataclasses.replace(made, dataset={**made.dataset, **facts})


@pytest.mark.parametrize(
    ("counts", "of_test", "of_val", "of_train"),
    [
        ({}, "", "", ""),
        ({"test": (900, 1, 300, 1)}, "rests on 1 malignant image in test", "", ""),
        ({"test": (900, 20, 300, 4)}, "rests on 4 malignant groups in test", "", ""),
        ({"test": (900, 20, 300, 5)}, "", "", ""),
        (
            {"val": (3, 0, 1, 0)},
            "rests on 0 malignant images in validation",
            "rests on 0 malignant images in validation",
            "",
        ),
        (
            {"test": (1, 1, 1, 1), "val": (2, 9, 2, 9), "train": (80, 8, 20, 1)},
            "rests on 1 benign image in test, 2 in validation, 1 malignant group in training",
            "rests on 2 benign images in validation, 1 malignant group in training",
            "rests on 1 malignant group in training",
        ),
    ],
)
def test_a_figure_rests_on_its_split_and_on_those_that_made_the_model(
    counts: dict[str, tuple[int, int, int, int]], of_test: str, of_val: str, of_train: str
) -> None:
    made = counted(**counts)
    assert [few.note([made], split) for split in ("test", "val", "train")] == [of_test, of_val, of_train]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_of_folds_and_seeds_the_one_with_the_fewest_counts(malignant: list[int]) -> None:
    records = [counted(test=(30, count, 9, count)) for count in malignant]
    note = few.note([*records, record(seed=9, status="failed")])
    least = min(malignant)
    assert note == (f"rests on {least} malignant image{'' if least == 1 else 's'} in test" if least < 5 else "")


def test_older_records_know_groups_by_their_predictions_and_else_images_alone() -> None:
    groups = [f"b{place}" for place in range(12)] + ["m0"] * 4
    test, val = split([0.5] * 16, [0] * 12 + [1] * 4, groups), split([0.5] * 20, [0] * 12 + [1] * 8)
    made = predicted(test, val)
    assert few.note([made]) == "rests on 1 malignant group in test"
    assert few.note([dataclasses.replace(made, predictions={})]) == "rests on 4 malignant images in test"


def test_nothing_is_said_of_what_was_not_tested() -> None:
    assert few.note([record(status="failed")]) == few.note([]) == ""


def test_a_record_that_lacks_the_counts_of_a_split_says_nothing_of_it() -> None:
    whole = record()
    for name in ("images", "malignant"):
        lacking = {split: count for split, count in whole.dataset[name].items() if split != "train"}
        counted = dataclasses.replace(whole, predictions={}, dataset={**whole.dataset, name: lacking})
        assert "training" not in few.note([counted])
