"""Layouts: how the folders of a data set say of which class, split and patient each image is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class ImageFile(NamedTuple):
    """One image of the two classes.

    Attributes:
        path: of the file.
        name: within the data set, with forward slashes, as UTF-8 can hold it.
        label: 0 benign, 1 malignant.
        given: train, val or test, if the folders say so.
        patient: the name of the patient's folder, if the layout has one.
    """

    path: Path
    name: str
    label: int
    given: str | None = None
    patient: str | None = None
