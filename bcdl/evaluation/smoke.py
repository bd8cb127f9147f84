"""When a test set is a smoke test: it shows that a model can be trained and tested, and next to nothing of its worth.

**The rule.** A test set is a smoke test if the 95 percent interval of an accuracy on it may reach further than
`MOST_REACH` to a side. The interval is Wilson's (1927, Journal of the American Statistical Association 22:209-212) of
n independent images; it is widest for an accuracy of 1/2, where it reaches z / (2 sqrt(n + z^2)), z = 1.96, to either
side. So a test set of fewer than `LEAST_UNITS` is a smoke test: one of 12 reaches 0.25.

**The size alone decides, never the result.** A rule that looked at the accuracy would call the same images a smoke test
for one model and not for the next, and the better for those that were lucky: 22 images that are all named right have an
interval of 0.85 to 1.

**Patients are counted, not images**, if they are known: those of one patient resemble each other. m images a patient
are worth as many independent ones as there are images, over 1 + (m - 1) r, with r their correlation (Kish 1965, Survey
Sampling, section 5.4), which nobody knows beforehand. Between no correlation and a full one, the rule takes the latter.

**0.1 is a convention**, as 95 percent is. With so much, an accuracy of 0.85 lies clear of that of the more frequent
class, about two thirds in the usual data sets. It takes far more to tell two good models apart: a test set that is no
smoke test is not a large one for that, and its intervals say how large it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bcdl.evaluation.few import split_key
from bcdl.records.record import Record

MOST_REACH = 0.1
_Z = 1.96


def reach(units: int) -> float:
    """How far the interval of an accuracy of 1/2 reaches to either side, of so many independent images."""
    return _Z / (2 * math.sqrt(units + _Z**2))


LEAST_UNITS = math.ceil((_Z / (2 * MOST_REACH)) ** 2 - _Z**2)


@dataclasses.dataclass(frozen=True)
class Images:
    """How many images a split has, and of how many groups (patients); None if these are not known.

    `ungrouped` is how many of the groups are single images whose patient is not known.
    """

    images: int
    groups: int | None
    ungrouped: int = 0

    @property
    def units(self) -> int:
        """How many of them count as independent."""
        return self.images if self.groups is None else self.groups

    @property
    def is_smoke_test(self) -> bool:
        """Whether a test on them is a smoke test."""
        return self.units < LEAST_UNITS

    def __str__(self) -> str:
        if self.groups is None:
            return f"{self.images} images"
        unknown = f" ({self.ungrouped} images of no known patient)" if self.ungrouped else ""
        return f"{self.images} images of {self.groups} groups{unknown}"


def images_of(records: Iterable[Record], split: str = "test") -> Images | None:
    """The images of a split, those of all folds together; of several models those of the one that saw most.

    None if no record is ok.
    """
    by_model: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        if record.ok:
            by_model[tuple(value for name, value in vars(record.cell).items() if name != "fold")].append(record)
    different = {tuple(split_key(record) for record in folds): folds for folds in by_model.values()}
    return max((_together(folds, split) for folds in different.values()), key=lambda of: of.units, default=None)


def _together(folds: Sequence[Record], split: str) -> Images:
    facts = folds[0].dataset
    predicted = [record.predictions[split] for record in folds if record.predictions.get(split)]
    if predicted:
        images, groups = (len({entry for part in predicted for entry in part[name]}) for name in ("names", "groups"))
    else:  # an older bcdl kept no predictions, and knew no folds
        images, groups = (facts[name].get(split, 0) for name in ("images", "groups"))
    known = facts.get("grouped") or groups < images
    return Images(images, groups if known else None, _ungrouped(folds, split))


def _ungrouped(folds: Sequence[Record], split: str) -> int:
    """The images of no known patient, each once: one may validate in several folds; each is a group of its own."""
    counts = [of.dataset.get("ungrouped", {}).get(split, 0) for of in folds]
    predicted = [of.predictions.get(split) for of in folds]
    if not all(predicted):
        return sum(counts)
    unknown = {
        name
        for count, part in zip(counts, predicted, strict=True)
        if count and part
        for name, group in zip(part["names"], part["groups"], strict=True)
        if name == group
    }
    return len(unknown)


def note(records: Sequence[Record], split: str = "test") -> str:
    """What titles of figures add if the test set of these records is a smoke test; else empty.

    `smoke test: 12 images of 3 groups`, or of the split `val`, `smoke test, validated on 8 images of 2 groups`.
    """
    test, shown = images_of(records), images_of(records, split)
    if test is None or not test.is_smoke_test:
        return ""
    return f"smoke test: {shown}" if split == "test" else f"smoke test, validated on {shown}"
