"""Titles of figures of quality: LEAKY before them, and behind them that they come from a smoke test."""

from __future__ import annotations

from bcdl.evaluation import smoke
from bcdl.records.groups import Group


def of_quality(group: Group, title: str, split: str = "test") -> str:
    """The title of figures of a group's test images, or of its validation images if `split` is `val`."""
    return with_note(f"{group.mark}{title}", smoke.note(group.records, split))


def with_note(title: str, note: str) -> str:
    """The title with a note in brackets, those that it ends with if there are any.

    >>> with_note("Accuracy", "of 12"), with_note("Loss (nats)", "of 12"), with_note("Loss (nats)", "")
    ('Accuracy (of 12)', 'Loss (nats; of 12)', 'Loss (nats)')
    """
    if not note:
        return title
    return f"{title[:-1]}; {note})" if title.endswith(")") else f"{title} ({note})"
