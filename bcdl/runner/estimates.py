"""About how long a cell will take: as long as the same work took, else scaled from the nearest cell that is known."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence

from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.settings.cell import Cell
from bcdl.settings.models import MODELS

# Seconds grow more slowly than operations: importing, building and compiling take long and hardly depend on images and
# epochs. Of simple rules, the square root comes nearest to the records of the seven models.
_EXPONENT = 0.5
_FLOPS_AT = 224  # pixels; see `ModelRow.forward_flops`

# What cells that take about the same time have in common.
Work = tuple[tuple[str, Hashable], ...]


def work_of(cell: Cell) -> Work:
    """What the cell has in common with those that take about the same time on the same machine."""
    return comparability.key(Evidence.of_cell(cell), Purpose.DURATION)


@dataclasses.dataclass(frozen=True)
class Took:
    """How long a cell took, seconds, with so many training images."""

    cell: Cell
    images: int
    seconds: float


class Estimates:
    """Estimates the seconds of cells on one machine, from those of earlier runs and those that end meanwhile.

    Args:
        earlier: cells that ran earlier on the machine, oldest first; the last of the same work counts.
        images: training images of each cell that is to run; they may be left out if they are the same for all.
    """

    def __init__(self, earlier: Iterable[Took] = (), images: Mapping[Cell, int] | None = None) -> None:
        self._images = images or {}
        self._earlier = {work_of(took.cell): took for took in earlier}
        self._now: dict[Work, list[Took]] = {}
        self._forget()

    @classmethod
    def together(cls, parts: Sequence[Estimates]) -> Estimates:
        """The estimates of several runs on one machine, before a cell of any of them has ended."""
        images = {cell: count for part in parts for cell, count in part._images.items()}
        return cls([took for part in parts for took in part._earlier.values()], images)

    def learn(self, cell: Cell, seconds: float) -> None:
        """Count a cell that has ended well after so many seconds."""
        self._now.setdefault(work_of(cell), []).append(Took(cell, self._images.get(cell, 1), seconds))
        self._forget()

    def seconds(self, cell: Cell) -> float | None:
        """Estimated seconds of the cell; None if nothing is known that they follow from."""
        if cell not in self._estimated:
            self._estimated[cell] = self._estimate(cell)
        return self._estimated[cell]

    def _estimate(self, cell: Cell) -> float | None:
        known, work = self._known(), work_of(cell)
        return known[work].seconds if work in known else _scaled(self._to_run(cell), known.values())

    def _forget(self) -> None:
        """Estimate anew, from what is known now: what a study's hundreds of cells take is asked for at every phase."""
        self._estimated: dict[Cell, float | None] = {}
        self._known_now: dict[Work, Took] | None = None

    def operations(self, cell: Cell) -> float:
        """Floating-point operations of the cell's training, forward passes alone; 0 if its model is unknown."""
        return _operations(self._to_run(cell))

    def _to_run(self, cell: Cell) -> Took:
        return Took(cell, self._images.get(cell, 1), math.nan)

    def _known(self) -> dict[Work, Took]:
        """How long each work takes now: as it took in this run, else as earlier, at the pace of this run."""
        if self._known_now is None:
            pace = self._pace()
            earlier = {work: _at_pace(took, pace) for work, took in self._earlier.items()}
            self._known_now = earlier | {work: _typical(times) for work, times in self._now.items()}
        return self._known_now

    def _pace(self) -> float:
        """How many times as long as earlier the cells of this run have taken; 1 if none ran earlier."""
        both = self._now.keys() & self._earlier.keys()
        # The first of each, since those after it may share its process, and be spared what it takes to start.
        ratios = [self._now[work][0].seconds / self._earlier[work].seconds for work in both]
        return statistics.median(ratios) if ratios else 1.0


def _at_pace(took: Took, pace: float) -> Took:
    return dataclasses.replace(took, seconds=pace * took.seconds)


def _typical(times: list[Took]) -> Took:
    """The last of the cells of one work, with the median of their seconds."""
    return dataclasses.replace(times[-1], seconds=statistics.median(took.seconds for took in times))


def _scaled(to_run: Took, known: Iterable[Took]) -> float | None:
    """Seconds by the nearest of the known cells: if there are any, of the same model, then on the same backend.

    A model takes about as long on another backend; what another model takes says less.
    """
    comparable = [took for took in known if _operations(took)]
    operations = _operations(to_run)
    if not comparable or not operations:
        return None

    def distance(took: Took) -> tuple[bool, bool, float]:
        model, backend = took.cell.model != to_run.cell.model, took.cell.backend != to_run.cell.backend
        return model, backend, abs(math.log(_operations(took) / operations))

    nearest = min(comparable, key=distance)
    return float(nearest.seconds * (operations / _operations(nearest)) ** _EXPONENT)


def _operations(took: Took) -> float:
    """Floating-point operations of a cell's training, forward passes alone; 0 if its model is unknown."""
    cell = took.cell
    if cell.model not in MODELS:
        return 0.0
    passes = took.images * (cell.epochs + cell.head_epochs)
    return MODELS[cell.model].forward_flops * (cell.image_size / _FLOPS_AT) ** 2 * passes
