"""The pool: all images of a source at one size, with label, group, name and split of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bcdl.datasets.duplicates import Duplicates
from bcdl.datasets.fingerprint import Fingerprints

if TYPE_CHECKING:
    from bcdl.datasets.private import Private

LABELS = {"benign": 0, "malignant": 1}
CLASSES = tuple(LABELS)  # by label
SPLITS = ("train", "val", "test")
FEW = 5  # of fewer images or groups of a class in a split, a figure that rests on them is marked
GROUPS_FILE = "groups.csv"  # in a folder of images: path, class and group of each


@dataclasses.dataclass(frozen=True)
class Pool:
    """A source's images before they are split.

    Attributes:
        name: the data set's name, as records carry it.
        synthetic: whether the images were drawn by a program.
        images: [N, S, S, 3] uint8.
        labels: [N] int64, 0 benign and 1 malignant.
        groups: [N] str; images of one group (a patient) are never cut by a split.
        names: [N] str, each image's name within the data set; never a path outside it.
        given: [N] str, the split that the source itself assigns to each (`train`, `val`, `test`); None if it assigns
            none.
        known: [N] bool, whether the group (patient) of each image is known; an image of no known group is a group of
            its own. None if all are known.
        notices: what a person should know: classes left out, images dropped, files skipped.
        rules: the version of the rules by which the source chooses images and their groups.
        facts: what a record holds of how the source was read, by the names of `records.shapes.SourceFacts`.
        fingerprints: computes the fingerprints of all images that the source has, dropped ones included; None if
            `images` are all that it has.
        duplicates: those among all images that the source has, if it has looked for them; None if it has not.
        private: hides the names of images and groups; None if they are public, as those of drawings are.
    """

    name: str
    synthetic: bool
    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    names: np.ndarray
    given: np.ndarray | None = None
    known: np.ndarray | None = None
    notices: tuple[str, ...] = ()
    rules: int = 1
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprints: Callable[[], Fingerprints] | None = None
    duplicates: Duplicates | None = None
    private: Private | None = None

    def groups_known(self) -> np.ndarray:
        """[N] bool, whether the group of each image is known."""
        return np.ones(len(self.labels), bool) if self.known is None else self.known
