"""Records with predictions made up for tests of what is computed from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bcdl.evaluation.scored import Scored
from bcdl.records import quality
from bcdl.records.record import Record
from tests.factory import record, with_predictions


def scored(scores: Sequence[float], labels: Sequence[int], groups: Sequence[str] | None = None, **more: Any) -> Scored:
    """Images with these malignant scores; where no groups are given, each is its own."""
    malignant = np.asarray(scores, dtype=float)
    names = np.array([f"image {place}" for place in range(len(malignant))])
    values = {
        "names": names,
        "outputs": np.stack([1 - malignant, malignant], axis=1),
        "labels": np.asarray(labels),
        "groups": names if groups is None else np.asarray(groups),
        "folds": np.zeros(len(malignant), dtype=int),
        "called": None,
        "grouped": groups is not None,
    }
    return Scored(**{**values, **more})


def split(scores: Sequence[float], labels: Sequence[int], groups: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """What a record holds of one split."""
    of = scored(scores, labels, groups)
    arrays = {"outputs": of.outputs, "scores": of.scores, "labels": of.labels, "groups": of.groups, "names": of.names}
    return {name: values.tolist() for name, values in arrays.items()}


def predicted(
    test: dict[str, list[Any]], val: dict[str, list[Any]] | None = None, weights: str = "w", **changes: Any
) -> Record:
    """A record of these predictions on a real data set, whose model started from the weights named."""
    made = with_predictions(record(**changes), {"test": test} if val is None else {"val": val, "test": test})
    return dataclasses.replace(
        made,
        dataset={**made.dataset, "synthetic": False, "checksum": "c"},
        model={**made.model, "initial_weights": weights},
    )


def drawn(images: int, seed: int = 0, patients: int | None = None) -> dict[str, list]:
    """A test split with scores that tell a little."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % 3 == 0
    scores = np.clip(0.3 + 0.3 * labels + generator.normal(0, 0.2, images), 0, 1)
    groups = None if patients is None else [f"p{place % patients}" for place in range(images)]
    return split(scores, labels.astype(int), groups)


FOLDS = 2
PATIENTS = 40


def both_ways(right_by_group: float, right_by_image: float) -> list[Record]:
    """Two folds each way, of 40 patients with two images; that share of patients is named right, the rest wrong."""
    labels = np.repeat(np.arange(PATIENTS) % 2, 2)
    groups = np.repeat([f"p{number:02d}" for number in range(PATIENTS)], 2)
    names = [f"{group}-{place % 2}" for place, group in enumerate(groups)]
    records = []
    for split_by, share in (("group", right_by_group), ("image", right_by_image)):
        right = np.arange(len(labels)) // 2 < share * PATIENTS
        scores = np.where(right, labels, 1 - labels) * 0.8 + 0.1
        fold_of = np.arange(len(labels)) // 2 % FOLDS if split_by == "group" else np.arange(len(labels)) % FOLDS
        for fold in range(FOLDS):
            chosen = np.flatnonzero(fold_of == fold)
            test = split(scores[chosen], labels[chosen], groups[chosen])
            test["names"] = [names[place] for place in chosen]
            one = predicted(test, split_by=split_by, folds=FOLDS, fold=fold)
            records.append(dataclasses.replace(one, dataset={**one.dataset, "images_checksum": "c", "grouped": True}))
    return records


def named(*words: str) -> list[np.ndarray]:
    """Scores of images that are named malignant (m) or benign (b)."""
    return [np.where(np.array(list(word)) == "m", 0.8, 0.2) for word in words]


def guessed(seed: int, images: int = 40) -> dict[str, list]:
    """A test split with scores that say nothing."""
    labels = np.arange(images) % 2
    return split(np.random.default_rng(seed).uniform(0, 1, images), labels)


def grid() -> list[Record]:
    """Two backends with two seeds each."""
    return [
        predicted(guessed(10 * seed + place), seed=seed, weights=f"start {seed}", backend=backend)
        for place, backend in enumerate(("jax", "torch"))
        for seed in (0, 1)
    ]


def named_right(share: float, patients: int = 40) -> dict[str, list[Any]]:
    """A split of patients with an image each, of both classes in turn, of whom that share is named right."""
    labels = np.arange(patients) % 2
    scores = np.where(np.arange(patients) < share * patients, labels, 1 - labels) * 0.8 + 0.1
    return split(scores, labels, [f"p{place}" for place in range(patients)])


def tried(right: float, patients: int = 40, **changes: Any) -> Record:
    """A record of a cell that is not tested: of its validation images, one a patient, that share is named right."""
    val = named_right(right, patients)
    labels = np.asarray(val["labels"])
    made = record(test=False, timing=False, **changes)
    metrics = quality.measure("val", np.asarray(val["outputs"]), labels)
    counts = {"images": patients, "malignant": int(labels.sum()), "groups": patients}
    dataset = {name: {**made.dataset[name], "val": count} for name, count in counts.items()}
    return dataclasses.replace(
        made,
        metrics={**metrics, "val_majority_accuracy": 0.5, "kept_epoch": 1},
        predictions={"val": val},
        history={},
        samples={},
        dataset={**made.dataset, **dataset, "synthetic": False, "checksum": "c", "images_checksum": "c"},
    )
