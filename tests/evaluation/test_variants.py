"""What one setting changes, of predictions whose truth is known, and which ways of training are compared at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from bcdl.evaluation import variants
from bcdl.evaluation.variants import Compared
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from tests.predictions import named_right, predicted, tried

PATIENTS = 40


def judged(right: float, **changes: Any) -> Record:
    """A tested record of 40 patients with an image each, of whom that share is named right."""
    return predicted(named_right(right, PATIENTS), **changes)


def compared(*records: Record, tested: bool = True) -> Sequence[Compared]:
    return variants.compared(group_records([("m", record) for record in records]), tested)


def changed(*records: Record, tested: bool = True) -> list[tuple[str, Any, Any, float]]:
    """Each change as (setting, value of a, value of b, difference in accuracy)."""
    return [
        (
            of.setting,
            getattr(of.a.cell, of.setting),
            getattr(of.b.cell, of.setting),
            pytest.approx(of.differences["accuracy"].value),
        )
        for each in compared(*records, tested=tested)
        for of in variants.changes(each.variants)
    ]


def test_the_difference_is_that_to_the_default_whatever_ran_first() -> None:
    records = [judged(0.5, batch_norm="moving"), judged(0.75), judged(0.25, learning_rate=1e-3)]
    expected = [("learning_rate", 1e-4, 1e-3, -0.5), ("batch_norm", "reestimated", "moving", -0.25)]
    assert changed(*records) == expected
    assert changed(*reversed(records)) == expected


def test_of_two_values_that_are_no_default_the_smaller_comes_first() -> None:
    assert changed(judged(0.5, learning_rate=1e-2), judged(0.75, learning_rate=1e-3)) == [
        ("learning_rate", 1e-3, 1e-2, -0.25)
    ]


def test_weights_are_compared_with_none() -> None:
    random, other = judged(0.5, model="mobilenet"), judged(0.75, model="mobilenet")
    file = dataclasses.replace(other, cell=dataclasses.replace(other.cell, weights="a.h5"))
    assert changed(file, random) == [("weights", "none", "a.h5", 0.25)]


def test_ways_that_differ_in_two_settings_are_not_compared() -> None:
    assert changed(judged(0.5), judged(0.75, learning_rate=1e-3, augment=False)) == []


def test_what_changes_no_diagnosis_is_no_setting() -> None:
    """Profile and timing: other measurements of the same training."""
    assert changed(judged(0.5), judged(0.75, timing=False, profile="full", learning_rate=1e-3)) == [
        ("learning_rate", 1e-4, 1e-3, 0.25)
    ]


@pytest.mark.parametrize(
    "other", [{"split_seed": 1}, {"split_by": "image"}, {"data": "another"}, {"folds": 2}, {"device": "gpu"}]
)
def test_what_was_not_judged_on_the_same_images_is_not_compared(other: dict[str, Any]) -> None:
    assert compared(judged(0.5), judged(0.75, learning_rate=1e-3, **other)) == []


def test_backends_stand_together_and_are_not_compared_with_each_other() -> None:
    """How two backends agree is said elsewhere, by pairs of equal starts."""
    records = [judged(0.5), judged(0.75, learning_rate=1e-3), judged(0.9, backend="jax", learning_rate=1e-2)]
    (of,) = compared(*records)
    assert [variant.software for variant in of.variants] == ["jax", "torch", "torch"]
    assert changed(*records) == [("learning_rate", 1e-4, 1e-3, 0.25)]


def test_versions_are_no_setting() -> None:
    upgraded = judged(0.75, learning_rate=1e-3)
    upgraded = dataclasses.replace(upgraded, environment={**upgraded.environment, "versions": {"keras": "4.0"}})
    (of,) = compared(judged(0.5), upgraded)
    assert [variant.software for variant in of.variants] == ["torch, keras 3.15.1", "torch, keras 4.0"]
    assert changed(judged(0.5), upgraded) == []


def test_ways_of_training_are_compared_wherever_they_were_trained() -> None:
    on_two = [("m", judged(0.5)), ("n", judged(0.75, learning_rate=1e-3))]
    (made,) = variants.compared(group_records(on_two), tested=True)
    assert (made.machines, len(made.variants)) == ("m and n", 2)
    in_one = [(machine, judged(0.5, timing=False, seed=seed)) for seed, machine in enumerate("mn")]
    (made,) = variants.compared(group_records([*in_one, ("m", judged(0.75, timing=False, epochs=3))]), tested=True)
    assert made.machines == "m and n"


def test_of_a_cell_that_two_machines_timed_the_newest_record_counts() -> None:
    """Before, that of the machine whose name comes last."""
    older, newer = judged(0.5), dataclasses.replace(judged(0.9), started="2027-01-01T00:00:00.000+00:00")
    other = judged(0.75, learning_rate=1e-3)
    (made,) = variants.compared(group_records([("z", older), ("a", newer), ("a", other)]), tested=True)
    assert newer in made.variants[0].records + made.variants[1].records
    assert older not in made.variants[0].records + made.variants[1].records


def test_drawings_are_not_compared() -> None:
    made = [judged(0.5), judged(0.75, learning_rate=1e-3)]
    drawings = [dataclasses.replace(each, dataset={**each.dataset, "synthetic": True}) for each in made]
    assert compared(*drawings) == []


def test_seeds_that_both_have_are_compared_alone() -> None:
    usual = [judged(0.5, seed=0), judged(0.5, seed=1), judged(0.0, seed=2)]
    other = [judged(0.75, seed=1, learning_rate=1e-3), judged(1.0, seed=0, learning_rate=1e-3)]
    ((setting, _, _, difference),) = changed(*usual, *other)
    assert (setting, difference) == ("learning_rate", pytest.approx(0.375))
    (of,) = compared(*usual, *other)
    assert [list(change.seeds) for change in variants.changes(of.variants)] == [[0, 1]]


def test_the_interval_is_that_of_the_paired_difference() -> None:
    """40 patients of whom 10 change from wrong to right: standard error sqrt(0.25 * 0.75 / 40) = 0.068."""
    (of,) = compared(judged(0.5), judged(0.75, learning_rate=1e-3))
    (change,) = variants.changes(of.variants)
    difference = change.differences["accuracy"]
    assert difference.low == pytest.approx(0.25 - 1.96 * 0.068, abs=0.02)
    assert difference.high == pytest.approx(0.25 + 1.96 * 0.068, abs=0.02)


def test_a_cell_that_failed_is_no_variant() -> None:
    failed = dataclasses.replace(judged(0.5, learning_rate=1e-3), status="failed", reason="it failed")
    assert compared(judged(0.5), failed) == []


def test_cells_that_are_not_tested_are_judged_on_validation_images_and_apart() -> None:
    records = [tried(0.5), tried(0.75, learning_rate=1e-3), judged(0.75, learning_rate=1e-2), judged(0.5)]
    assert changed(*records, tested=False) == [("learning_rate", 1e-4, 1e-3, 0.25)]
    assert changed(*records) == [("learning_rate", 1e-4, 1e-2, 0.25)]


def test_an_image_that_validates_in_two_folds_counts_in_each() -> None:
    """Its patient is drawn once for both, so that the interval knows that they go together."""
    usual = [tried(0.5, folds=5, fold=fold) for fold in (0, 1)]
    other = [tried(0.75, folds=5, fold=fold, learning_rate=1e-3) for fold in (0, 1)]
    (of,) = compared(*usual, *other, tested=False)
    scored = of.variants[0].seeds[0]
    assert (len(scored), scored.group_count, scored.called) == (2 * PATIENTS, PATIENTS, None)
    (change,) = variants.changes(of.variants)
    assert change.differences["accuracy"].high == pytest.approx(0.25 + 1.96 * 0.068, abs=0.02)


def test_folds_that_both_have_are_compared_alone() -> None:
    """A fault may be tried in fewer folds than what it is compared with."""
    usual = [of_fold(0, 0.5), of_fold(1, 0.5), of_fold(2, 0.0)]
    (of,) = compared(*usual, of_fold(0, 0.75, learning_rate=1e-3), of_fold(1, 1.0, learning_rate=1e-3))
    (change,) = variants.changes(of.variants)
    assert change.differences["accuracy"].value == pytest.approx(0.375)
    assert (len(change.most_images), set(change.most_images.folds)) == (2 * PATIENTS, {0, 1})


def of_fold(fold: int, right: float, **changes: Any) -> Record:
    """A record of the fold, of 40 patients of its own."""
    made = named_right(right, PATIENTS)
    own = {name: [f"fold {fold} {each}" for each in made[name]] for name in ("names", "groups")}
    return predicted({**made, **own}, folds=5, fold=fold, **changes)


def test_pretrained_weights_are_compared_with_random_ones_each_in_its_own_way() -> None:
    random = judged(0.5, model="mobilenet", epochs=15)
    file = started(judged(0.75, model="mobilenet", epochs=10, head_epochs=5))
    others = [judged(0.9), started(judged(0.9, model="mobilenet", image_size=96)), judged(0.9, model="resnet50")]
    (of,) = compared(file, random, *others)
    ((a, b),) = variants.starts(of.variants)
    assert (a.cell, b.cell) == (random.cell, file.cell)
    assert variants.start(a, b).differences["accuracy"].value == pytest.approx(0.25)
    assert changed(file, random) == []


def started(record: Record) -> Record:
    """The record, of a cell that starts from a file of weights."""
    return dataclasses.replace(record, cell=dataclasses.replace(record.cell, weights="a.h5"))
