"""Titles of figures of quality: LEAKY before them, and behind them on how little they rest.

That is, that they come from a smoke test, or rest on few images or groups of a class.
"""

from __future__ import annotations

from collections.abc import Sequence

from bcdl.evaluation import few, smoke
from bcdl.records.groups import Group
from bcdl.records.record import Record


def of_quality(group: Group, title: str, split: str = "test") -> str:
    """The title of figures of a group's test images, or of those of the split."""
    return with_note(f"{group.mark}{title}", note(group.records, split))


def note(records: Sequence[Record], split: str = "test") -> str:
    """On how little figures of a split of these records rest; empty if on enough.

    `smoke test: 12 images; rests on 2 malignant images in test`. Training images make no smoke test.
    """
    of_smoke_test = "" if split == "train" else smoke.note(records, split)
    return "; ".join(filter(None, [of_smoke_test, few.note(records, split)]))


def with_note(title: str, note: str) -> str:
    """The title with a note in brackets, those that it ends with if there are any.

    >>> with_note("Accuracy", "of 12"), with_note("Loss (nats)", "of 12"), with_note("Loss (nats)", "")
    ('Accuracy (of 12)', 'Loss (nats; of 12)', 'Loss (nats)')
    """
    if not note:
        return title
    return f"{title[:-1]}; {note})" if title.endswith(")") else f"{title} ({note})"
