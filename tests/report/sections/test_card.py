"""Model cards: what the record knows, and named blanks for what it can't."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bcdl.evaluation import estimates
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report.sections import card
from tests.predictions import predicted, split


def made(**changes: Any) -> Record:
    labels = np.arange(40) % 2
    scores = np.where(np.arange(40) < 30, labels, 1 - labels) * 0.6 + 0.2
    groups = [f"p{number // 2}" for number in range(40)]
    entry = predicted(split(scores, labels, groups), split(scores, labels, groups), **changes)
    return dataclasses.replace(entry, dataset={**entry.dataset, "images_checksum": "c", "grouped": True})


def cards_of(*records: Record) -> dict[str, str]:
    (group,) = group_records([("m", record) for record in records])
    return card.cards(group, estimates.results(group))


def test_a_card_says_what_the_record_holds() -> None:
    ((name, text),) = cards_of(made(model="mobilenet", epochs=7), made(model="mobilenet", epochs=7, seed=1)).items()
    assert name.endswith("mobilenet-none")
    assert "**Not for clinical use.**" in text
    for known in ("MobileNet", "7 epochs", "seeds 0, 1", "by group: none is on two sides", "scaled to -1..1"):
        assert known in text
    assert "| Accuracy | 0.500 | 0.750 (" in text


def test_a_card_names_every_machine_that_trained_one_of_its_models() -> None:
    """Before, it named that of the first seed or fold alone."""
    seeds = [made(timing=False, seed=seed) for seed in (0, 1)]
    for of_seed, processor in zip(seeds, ("a processor", "another"), strict=True):
        of_seed.environment["cpu"] = processor
    (text,) = cards_of(*seeds).values()
    assert "a processor, cores allowed: unknown; identity: unknown; and another, cores allowed" in text


def test_a_card_says_that_no_patient_is_on_two_sides_only_if_patients_are_known() -> None:
    """Before, it said so of a publisher's split of images whose patients nobody knows."""

    def split_of(**dataset: Any) -> str:
        entry = made()
        (text,) = cards_of(dataclasses.replace(entry, dataset={**entry.dataset, **dataset})).values()
        return next(line for line in text.splitlines() if "Training and evaluation apart" in line)

    assert "patients not known: one may be on two sides" in split_of(grouped=False, ungrouped={"test": 40})
    assert "by group: none is on two sides, but of 3 images the patient is not known" in split_of(ungrouped={"test": 3})
    assert "by group: none is on two sides, seed" in split_of(ungrouped={"test": 0})


def test_what_no_record_knows_is_a_named_blank() -> None:
    (text,) = cards_of(made()).values()
    blanks = text.partition("Left blank")[2]
    for item in ("Ethics approval", "Reference standard", "Age, sex, ethnicity", "Source of the images"):
        assert item in blanks


def test_every_card_of_a_leaky_split_says_so() -> None:
    (text,) = cards_of(made(split_by="image")).values()
    assert "**LEAKY: the split was by image" in text
    assert "by image (LEAKY)" in text


def test_drawings_have_no_card() -> None:
    entry = made()
    assert cards_of(dataclasses.replace(entry, dataset={**entry.dataset, "synthetic": True})) == {}


def test_names_from_outside_are_inert() -> None:
    ((name, text),) = cards_of(made(model="mobilenet", weights="a|b<script>/../x")).items()
    assert "/" not in name
    assert "<script>" not in text
    assert "a|b" not in text


def test_a_card_says_what_was_done_to_the_pixels() -> None:
    (usual,) = cards_of(made(model="mobilenet")).values()
    assert "scaled to -1..1; rotated, zoomed and flipped at random in training" in usual
    (odd,) = cards_of(made(model="mobilenet", preprocessing="none", zoom_range=2.0)).values()
    assert "not scaled, from 0 to 255; rotated, zoomed (range 2) and flipped at random in training" in odd
