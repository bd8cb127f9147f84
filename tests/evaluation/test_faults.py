"""What the faults of the source study do, of predictions whose truth is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bcdl.evaluation import faults, variants
from bcdl.evaluation.faults import Effects
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from tests.predictions import both_ways, named_right, predicted

PATIENTS = 40


def judged(right: float, **changes: Any) -> Record:
    return predicted(named_right(right, PATIENTS), **changes)


def effects(*records: Record) -> Effects | None:
    groups = group_records([("m", record) for record in records])
    (of,) = variants.compared(groups, tested=True)
    return faults.effects(of, list(variants.changes(of.variants)), groups)


def test_each_fault_is_held_against_the_training_that_has_none() -> None:
    base = judged(0.75)
    found = effects(judged(0.25, preprocessing="none"), base, judged(0.5, keep="last"), judged(0.6, zoom_range=2.0))
    assert found is not None
    assert found.base.records == (base,)
    made = [(of.fault.title, of.without["accuracy"], of.with_it["accuracy"]) for of in found.effects]
    assert made == [
        ("pixels from 0 to 255, not scaled", 0.75, 0.25),
        ("zoom range of 2", 0.75, pytest.approx(0.6)),
        ("the last epoch, not the best", 0.75, 0.5),
    ]
    assert [of.differences["accuracy"].value for of in found.effects] == pytest.approx([-0.5, -0.15, -0.25])
    assert {(of.seeds, *of.images) for of in found.effects} == {(1, PATIENTS, PATIENTS, 0)}


def test_images_of_no_known_patient_are_counted() -> None:
    found = effects(*map(partly_known, (judged(0.75), judged(0.5, keep="last"), judged(0.5, preprocessing="none"))))
    assert found is not None
    assert {of.images for of in found.effects} == {(PATIENTS, PATIENTS, 1)}


def partly_known(record: Record) -> Record:
    """The record, of whose first test image no patient is known, so that its own name stands for one."""
    test = record.predictions["test"]
    groups = [test["names"][0], *test["groups"][1:]]
    return dataclasses.replace(record, predictions={**record.predictions, "test": {**test, "groups": groups}})


def test_the_training_in_which_most_faults_were_tried_is_the_base() -> None:
    other = judged(0.9, learning_rate=1e-3)
    faulty = [judged(0.5, keep="last"), judged(0.5, batch_norm="moving"), judged(0.5, keep="last", learning_rate=1e-3)]
    found = effects(other, judged(0.75), *faulty)
    assert found is not None
    assert (found.base.cell.learning_rate, len(found.effects)) == (1e-4, 2)


def test_one_fault_alone_has_a_row_among_the_settings_and_no_part_of_its_own() -> None:
    assert effects(judged(0.75), judged(0.5, keep="last")) is None


def test_two_faults_at_once_are_the_effect_of_neither() -> None:
    assert effects(judged(0.75), judged(0.5, keep="last"), judged(0.2, keep="last", batch_norm="moving")) is None


def test_a_fault_that_the_training_can_not_have_is_taken_from_one_that_differs_in_one_setting_alone() -> None:
    """A zoom range needs images that are augmented."""
    plain = [judged(0.75, augment=False), judged(0.5, augment=False, keep="last")]
    plain.append(judged(0.5, augment=False, preprocessing="none"))
    augmented = [judged(0.9), judged(0.6, zoom_range=2.0)]
    others = [judged(0.9, learning_rate=1e-3), judged(0.1, learning_rate=1e-3, zoom_range=2.0)]
    found = effects(*others, *augmented, *plain)
    assert found is not None
    assert [(of.fault.setting, of.base.cell.augment) for of in found.effects] == [
        ("preprocessing", False),
        ("zoom_range", True),
        ("keep", False),
    ]
    assert found.effects[1].differences["accuracy"].value == pytest.approx(-0.3)


def test_a_split_by_image_is_a_fault_whose_models_were_tested_in_other_folds() -> None:
    by_group, by_image = (
        [one for one in both_ways(0.5, 0.75) if one.cell.split_by == way] for way in ("group", "image")
    )
    last = [dataclasses.replace(one, cell=dataclasses.replace(one.cell, keep="last")) for one in by_group]
    found = effects_of_group(*by_group, *by_image, *last)
    assert found is not None
    assert [of.fault for of in found.effects] == [faults.FAULTS[3], faults.SPLIT_BY_IMAGE]
    of_split = found.effects[-1]
    assert of_split.differences["accuracy"].value == pytest.approx(0.25)
    assert [record.cell for record in of_split.faulty] == [record.cell for record in by_image]


def effects_of_group(*records: Record) -> Effects | None:
    """As `effects`, of those that were split by group."""
    groups = group_records([("m", record) for record in records])
    (of,) = (each for each in variants.compared(groups, tested=True) if each.cell.split_by == "group")
    return faults.effects(of, list(variants.changes(of.variants)), groups)
