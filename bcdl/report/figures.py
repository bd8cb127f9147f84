"""Figures as files: PNG that names the digest of what it was drawn from, so that a check can compare the two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from matplotlib.figure import Figure

from bcdl.records.groups import Group
from bcdl.report import plots
from bcdl.report.plots import style


class Source(Protocol):
    """What a figure is drawn from: a record, a parity finding or an experiment."""

    def to_json(self) -> str: ...


def of_group(group: Group) -> dict[str, bytes]:
    """The figures of one group as PNG, by key."""
    return to_pngs(group.slug, plots.draw(group), group.records)


def to_pngs(folder: str, drawn: Iterable[tuple[str, Figure]], sources: Iterable[Source]) -> dict[str, bytes]:
    """The figures of a section as PNG, each by its key `folder/name`; they are closed as they are taken.

    Args:
        folder: below `plots/`.
        drawn: each figure with its name; from an iterator, so that no more than one figure is open at a time.
        sources: what all of the figures were drawn from.
    """
    digest = hashlib.sha256("\n".join(source.to_json() for source in sources).encode()).hexdigest()
    return {f"{folder}/{name}": style.to_png(figure, digest) for name, figure in drawn}
