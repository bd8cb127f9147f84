"""What models said of test images, or of validation images: the predictions of records, put together for evaluation."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bcdl.records import quality
from bcdl.records.record import Record
from bcdl.statistics import bootstrap


@dataclasses.dataclass(frozen=True)
class Scored:
    """The test images of one seed and what was said of them; those of all its folds, if it was cross-validated.

    Attributes:
        names: [N] str, relative to the data set.
        outputs: [N, 2] float64, sigmoid outputs (benign, malignant).
        labels: [N] int64, 1 is malignant.
        groups: [N] str, patients; an image's own name if none are known.
        folds: [N] int64, the fold whose test image it is; every other image of the others trained or validated that
            fold's model.
        called: [N] bool, called malignant at the threshold that the validation images of its fold fixed; None if
            there are none with both classes.
        grouped: whether any patients are known.
        known: [N] bool, whether each image's patient is; None if all are.
    """

    names: np.ndarray
    outputs: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    called: np.ndarray | None
    grouped: bool
    known: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """Malignant scores, [N] float64."""
        return quality.malignant_scores(self.outputs)

    @functools.cached_property
    def named(self) -> np.ndarray:
        """[N] bool, whether the larger output is that of malignant; a tie is benign."""
        return self.scores > 0.5

    @functools.cached_property
    def right(self) -> np.ndarray:
        """[N] bool, whether the larger output is that of the image's class."""
        return self.named == self.labels

    @functools.cached_property
    def group_count(self) -> int:
        return len(np.unique(self.groups))

    @functools.cached_property
    def ungrouped(self) -> int:
        """How many of the images count as a patient of their own, because theirs is not known."""
        return 0 if self.known is None else int(np.sum(~self.known))

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many images, of how many groups; if any patients are known, how many images are of none of them."""
        return len(self), self.group_count, self.ungrouped if self.grouped else 0

    @functools.cached_property
    def parts(self) -> list[np.ndarray]:
        """Of each fold, which images are its own: [N] bool."""
        return [self.folds == fold for fold in np.unique(self.folds)]

    def take(self, chosen: np.ndarray) -> Scored:
        """Those images alone that `chosen` [N] bool says."""
        return Scored(
            names=self.names[chosen],
            outputs=self.outputs[chosen],
            labels=self.labels[chosen],
            groups=self.groups[chosen],
            folds=self.folds[chosen],
            called=None if self.called is None else self.called[chosen],
            grouped=self.grouped,
            known=None if self.known is None else self.known[chosen],
        )


def records_by_seed(records: Iterable[Record], split: str = "test") -> dict[int, list[Record]]:
    """The records that are ok and hold predictions of the split, by seed; of each seed in the order of its folds."""
    by_seed: dict[int, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: (record.cell.seed, record.cell.fold)):
        if record.ok and record.predictions.get(split, {}).get("labels"):
            by_seed[record.cell.seed].append(record)
    return dict(by_seed)


def by_seed(records: Iterable[Record], split: str = "test") -> dict[int, Scored]:
    """What the models of each seed said, its folds together; of the records that are ok and hold predictions."""
    return {seed: pool(folds, split) for seed, folds in records_by_seed(records, split).items()}


def pool(records: Sequence[Record], split: str = "test") -> Scored:
    """The records' images of the split, one after another: each record is a fold, or there is but one.

    An image is tested in one fold, but may validate in several: it is there once for each. Nothing is called malignant
    of validation images, which the threshold comes from.
    """
    parts = [record.predictions[split] for record in records]
    called = [_called(record) if split == "test" else None for record in records]
    groups = np.concatenate([np.asarray(part["groups"], dtype=str) for part in parts])
    known = np.concatenate([_known(record, split) for record in records])
    return Scored(
        names=np.concatenate([np.asarray(part["names"], dtype=str) for part in parts]),
        outputs=np.concatenate([np.asarray(part["outputs"], dtype=np.float64) for part in parts]),
        labels=np.concatenate([np.asarray(part["labels"], dtype=np.int64) for part in parts]),
        groups=groups,
        folds=np.concatenate(
            [np.full(len(part["labels"]), r.cell.fold) for r, part in zip(records, parts, strict=True)]
        ),
        called=None if any(of_fold is None for of_fold in called) else np.concatenate(called),  # type: ignore[arg-type]
        grouped=bool(records[0].dataset.get("grouped")) or bool(known.any()),
        known=known,
    )


def _known(record: Record, split: str) -> np.ndarray:
    """Whether the patient of each image of the split is known, [N] bool: if not, the image's own name stands for it."""
    part = record.predictions[split]
    if record.dataset.get("ungrouped", {}).get(split) == 0:
        return np.ones(len(part["names"]), bool)  # a table may give an image its own name
    return np.asarray(part["groups"], dtype=str) != np.asarray(part["names"], dtype=str)


def _called(record: Record) -> np.ndarray | None:
    """Which test images reach the threshold of the record's validation images, [N] bool; None if there is none."""
    val = record.predictions.get("val", {})
    if not val.get("labels"):
        return None
    scores = quality.malignant_scores(np.asarray(val["outputs"], dtype=np.float64))
    threshold = youden_threshold(np.asarray(val["labels"]), scores)
    outputs = np.asarray(record.predictions["test"]["outputs"], dtype=np.float64)
    return None if threshold is None else quality.malignant_scores(outputs) >= threshold


def youden_threshold(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The least score called malignant that makes sensitivity + specificity - 1 largest; None if a class is missing.

    labels and scores are [N]. Of several thresholds that are as good the lowest, since a cancer missed does more harm
    than a needless biopsy (Youden 1950, Cancer 3:32-35).
    """
    if len(np.unique(labels)) < 2:
        return None
    thresholds, place = np.unique(scores, return_inverse=True)
    malignant, benign = (np.bincount(place, labels == label, len(thresholds)) for label in (1, 0))
    sensitivity, false_alarms = (part[::-1].cumsum()[::-1] / part.sum() for part in (malignant, benign))
    gain = sensitivity - false_alarms
    return float(thresholds[np.argmax(gain > gain.max() - 1e-9)])


def resamples(seeds: Sequence[Scored]) -> Iterator[list[np.ndarray]]:
    """Blocks of resamples: for each seed how often each of its images is drawn, [r, N] float64.

    Groups are drawn, and the same for every seed.
    """
    groups = np.unique(np.concatenate([of_seed.groups for of_seed in seeds]))
    places = [np.searchsorted(groups, of_seed.groups) for of_seed in seeds]
    different = {of_images.tobytes(): of_images for of_images in places}  # most seeds have the same images
    for drawn in bootstrap.blocks(len(groups), max(map(len, seeds))):
        weights = {key: drawn[:, of_images] for key, of_images in different.items()}
        yield [weights[of_images.tobytes()] for of_images in places]
