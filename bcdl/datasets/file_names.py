"""What the names of files say of an image: the patient, the class and the magnification, by data sets that write them.

Such a name counts wherever in a file's name it stands: copies have something before it (`100X_SOB_...`) or after it
(`... - Copy.png`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

# SOB_<B|M>_<subtype>-<year>-<patient>-<magnification>-<sequence>.png (Spanhol et al. 2016, IEEE TBME 63(7)).
BREAKHIS = re.compile(
    r"SOB_(?P<label>[BM])_[A-Z]+-(?P<patient>\d+-\w+)-(?P<magnification>\d+)-\d+", re.ASCII | re.IGNORECASE
)
# <patient>_idx<slide>_x<column>_y<row>_class<0|1>.png (Janowczyk and Madabhushi 2016, J Pathol Inform 7:29).
IDC = re.compile(r"(?<!\d)(?P<patient>\d+)_idx\d+_x\d+_y\d+_class(?P<label>[01])", re.ASCII | re.IGNORECASE)
_PATTERNS = {"BreaKHis": BREAKHIS, "IDC": IDC}
_LABELS = {"b": 0, "m": 1, "0": 0, "1": 1}


class Named(NamedTuple):
    """What a file's name says: whose way of writing names it is, the patient, and 0 for benign or 1 for malignant."""

    data_set: str
    patient: str
    label: int


def read(name: str) -> Named | None:
    """What the name of a file says; None if it is written in no way that is known."""
    for data_set, pattern in _PATTERNS.items():
        if match := pattern.search(name):
            return Named(data_set, match["patient"].upper(), _LABELS[match["label"].lower()])
    return None
