"""What fits in a budget of time, and in which order: a pure function of estimates."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from bcdl.settings.job import Job

# A model, its backend, and whether its speed is measured.
Kind = tuple[str, str, bool]


def kind_of(job: Job) -> Kind:
    return job.cell.model, job.cell.backend, job.cell.timing


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A job that could run.

    Attributes:
        job: the job.
        seconds: about how long its cell takes; None if there is no estimate.
        operations: about how much its cell computes, which orders cells without an estimate.
    """

    job: Job
    seconds: float | None
    operations: float = 0.0

    @property
    def model(self) -> str:
        return self.job.cell.model

    @property
    def kind(self) -> Kind:
        """What the cells have in common of which one says most: model, backend, and whether its speed is measured."""
        return kind_of(self.job)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The candidates that fit, in the order in which they run, and those that do not."""

    fitting: tuple[Candidate, ...]
    left_out: tuple[Candidate, ...]

    @property
    def seconds(self) -> float | None:
        """About how long all that fits takes; None if that of one of them is not known."""
        return total(self.fitting)


def total(candidates: Iterable[Candidate]) -> float | None:
    """About how long the candidates take together, seconds; None if that of one of them is not known."""
    seconds = [candidate.seconds for candidate in candidates]
    return None if None in seconds else sum(each for each in seconds if each is not None)


def make(
    candidates: Iterable[Candidate], seconds_left: float, done: Mapping[Kind, int], is_ordered: bool = False
) -> Plan:
    """The plan for so many seconds: first a cell of each kind that has none, then a second one of each, and so on.

    A kind is a model on a backend with its speed, or with its accuracy alone. Among these the shortest is first, so
    that most are covered. Candidates that are ordered keep their order. Of a candidate without an estimate nobody knows
    whether it fits: it does as long as any time is left.

    Args:
        candidates: all that could run.
        seconds_left: how long they may take together.
        done: how many cells each kind has already.
        is_ordered: whether the candidates come in the order of their value.
    """
    fitting: list[Candidate] = []
    left_out: list[Candidate] = []
    for candidate in candidates if is_ordered else _most_informative_first(candidates, done):
        fits = (candidate.seconds or 0.0) <= seconds_left and seconds_left > 0
        (fitting if fits else left_out).append(candidate)
        seconds_left -= (candidate.seconds or 0.0) if fits else 0.0
    return Plan(tuple(fitting), tuple(left_out))


def _most_informative_first(candidates: Iterable[Candidate], done: Mapping[Kind, int]) -> list[Candidate]:
    cells = Counter(done)
    ranks = {}
    shortest_first = sorted(candidates, key=_cost)
    for candidate in shortest_first:
        ranks[candidate] = cells[candidate.kind]
        cells[candidate.kind] += 1
    return sorted(shortest_first, key=ranks.__getitem__)


def _cost(candidate: Candidate) -> tuple[float, float]:
    return candidate.seconds or 0.0, candidate.operations
