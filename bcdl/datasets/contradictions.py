"""Contradictions: one picture under both labels, which no model can learn and no test can judge.

Of identical images under both labels all are left out, for nobody knows which label is right. Of near-identical ones
the whole list is: each image of it is nearly the picture that the other label has, or a copy of one that is. What is
left out so is counted and named. Their patient stays, with all other images: that a patient has benign and malignant
ones is no contradiction.

In BUSI one pair is identical under both labels, and a few lists of two or three are near-identical: frames of one
lesion, one of them cropped, marked or turned.
"""

from __future__ import annotations

from bcdl.datasets.duplicates import Duplicates
from bcdl.text import first_few, legible


def names(duplicates: Duplicates) -> frozenset[str]:
    """The images that are to be left out."""
    return frozenset(name for group in (*duplicates.conflicting, *duplicates.near_conflicting) for name in group)


def notices(duplicates: Duplicates) -> list[str]:
    """What is left out, a line for identical and one for near-identical images; each image counts in one of them."""
    lines = []
    identical = {name for group in duplicates.conflicting for name in group}
    near = tuple(
        rest for group in duplicates.near_conflicting if (rest := tuple(n for n in group if n not in identical))
    )
    for kind, between, lists in (("identical", " = ", duplicates.conflicting), ("near-identical", " ~ ", near)):
        if lists:
            lines.append(
                f"{sum(map(len, lists))} images left out, {kind} under both labels ({len(lists)} lists): "
                f"{first_few(between.join(map(legible, group)) for group in lists)}"
            )
    return lines
