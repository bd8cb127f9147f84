"""Statistics of experiments: the newest of each, how their ways differ, their noise, the best of settings."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import re
import statistics
from collections.abc import Sequence

from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Key, Purpose
from bcdl.records.experiment import IN_ONE_PROCESS, Experiment
from bcdl.statistics import effects, steadiness
from bcdl.statistics.effects import Effect
from bcdl.statistics.estimated import Estimated

_FEWEST = 3  # rounds, with which there is an interval or a scatter


@dataclasses.dataclass(frozen=True)
class Outcome:
    """An experiment, and what its rounds say: those after the warm-up."""

    experiment: Experiment

    @property
    def warm_up(self) -> int:
        """How many of the first rounds are left out."""
        return self._settled[0]

    @functools.cached_property
    def _settled(self) -> tuple[int, bool]:
        """The warm-up, and whether the ratio is one figure.

        Rounds of processes of their own have no warm-up, and their interval holds what sets processes apart.
        """
        in_one_process = self.experiment.sample == IN_ONE_PROCESS
        return steadiness.settled(_ratios(self.experiment)) if in_one_process else (0, True)

    @property
    def a(self) -> list[float]:
        """The first way's figures, by round."""
        return self.experiment.a[self.warm_up :]

    @property
    def b(self) -> list[float]:
        """The second way's figures, by round."""
        return self.experiment.b[self.warm_up :]

    @functools.cached_property
    def effect(self) -> Effect:
        """How the second way stands to the first."""
        return effects.paired(self.a, self.b)

    @property
    def regimes(self) -> tuple[float, float] | None:
        """Median ratios of the first and the second half of the rounds, if these are not one figure; else None."""
        _, is_steady = self._settled
        return None if is_steady else steadiness.halves(_ratios(self.experiment))

    @property
    def difference(self) -> Estimated:
        """By how much the second way is larger, in the experiment's unit: the mean over rounds.

        Its interval is Student's; NaN of fewer than 3 rounds.
        """
        differences = [b - a for a, b in zip(self.a, self.b, strict=True)]
        return Estimated(statistics.mean(differences), *effects.mean_interval(differences))


def _ratios(experiment: Experiment) -> list[float]:
    """The second way's figure as a share of the first's, by round."""
    return [b / a for a, b in zip(experiment.a, experiment.b, strict=True)]


@dataclasses.dataclass(frozen=True)
class Best:
    """The best of the settings that were tried on one subject, beside the default.

    Attributes:
        default: an experiment of the subject; its first way is the default.
        tried: how many others were tried.
        unstable: those of them whose ratio to the default is not one figure, by name: none of these can be the best.
        best: the fastest of those whose interval lies above the default; None if none does.
        low, high: the interval of its ratio to the default, 95 percent for all that were tried at once.
    """

    default: Experiment
    tried: int
    unstable: tuple[str, ...]
    best: Outcome | None = None
    low: float = math.nan
    high: float = math.nan

    @property
    def enough_rounds(self) -> bool:
        """Whether there were rounds enough to show anything."""
        return len(self.default.a) >= _FEWEST


@dataclasses.dataclass(frozen=True)
class Place:
    """Where experiments were made that may stand in one table: a machine, as it was then.

    Attributes:
        machine: the folder that they lie in.
        distinction: the facts, in words, that set it apart from other places of the folder; empty if there is none.
        digest: of these facts, for names of files; empty for the oldest place of the folder.
    """

    machine: str
    distinction: str = ""
    digest: str = ""

    @property
    def title(self) -> str:
        return f"{self.machine}, {self.distinction}" if self.distinction else self.machine


def by_place(experiments: Sequence[tuple[str, Experiment]]) -> dict[Place, list[tuple[str, Experiment]]]:
    """The experiments, oldest first and each with its machine, by the place where they were made."""
    keyed: dict[str, dict[Key, list[tuple[str, Experiment]]]] = {}
    for machine, made in experiments:
        keyed.setdefault(machine, {}).setdefault(_place_of(made), []).append((machine, made))
    places: dict[Place, list[tuple[str, Experiment]]] = {}
    for machine, by_key in sorted(keyed.items()):
        for number, (key, distinction) in enumerate(zip(by_key, comparability.apart(list(by_key)), strict=True)):
            digest = hashlib.sha256(repr(key).encode()).hexdigest()[:6] if number else ""
            places[Place(machine, distinction, digest)] = by_key[key]
    return places


def _place_of(made: Experiment) -> Key:
    """What is known of the place where it was made, but for the machine's name."""
    return comparability.key(Evidence(made.cell, environment=made.environment), Purpose.EXPERIMENTS)


def newest(experiments: Sequence[tuple[str, Experiment]]) -> dict[tuple[str, str], list[Experiment]]:
    """By machine and name, the experiments of the last run on each subject.

    `experiments` come oldest first. A run has all ways of a subject, some of which an older one may not have had.
    Subjects are in order; the ways of one are in the order in which they were recorded, by slow-down if there is one.
    """
    last = {(machine, made.name, made.subject): made.run for machine, made in experiments}
    latest: dict[tuple[str, str], list[Experiment]] = {}
    for machine, made in experiments:
        if made.run == last[machine, made.name, made.subject]:
            latest.setdefault((machine, made.name), []).append(made)
    return {key: sorted(group, key=_place) for key, group in sorted(latest.items())}


def _place(experiment: Experiment) -> tuple[list[tuple[int, str]], float]:
    return _by_letter_and_number(experiment.subject), experiment.slowdown or 0.0


def _by_letter_and_number(text: str) -> list[tuple[int, str]]:
    """A key that sorts words by letter and numbers by size: 80x80 before 224x224."""
    parts = re.split(r"0*([0-9]+)", text)  # words and numbers in turn
    return [(len(part) if place % 2 else 0, part) for place, part in enumerate(parts)]


def corrected(outcomes: Sequence[Outcome]) -> list[float]:
    """Each p-value by Holm's method, over the ways of its subject: it holds although they may share the first way."""
    subjects = [outcome.experiment.subject for outcome in outcomes]
    of_subject = {
        subject: iter(effects.holm([each.effect.p for each in outcomes if each.experiment.subject == subject]))
        for subject in subjects
    }
    return [next(of_subject[subject]) for subject in subjects]


def noise(experiment: Experiment, rounds: int) -> float:
    """Standard error that the log ratio of both ways has in a comparison of so many rounds."""
    logs = [math.log(b / a) for a, b in zip(experiment.a, experiment.b, strict=True)]
    return statistics.stdev(logs) / math.sqrt(rounds)


def best_settings(experiments: Sequence[Experiment]) -> list[Best]:
    """For each subject and experiment, the fastest of the settings that beat the default though picked among others."""
    searched: dict[tuple[str, str], list[Experiment]] = {}
    for experiment in experiments:
        searched.setdefault((experiment.subject, experiment.name), []).append(experiment)
    return [_best(tried) for tried in searched.values()]


def _best(tried: Sequence[Experiment]) -> Best:
    outcomes = list(map(Outcome, tried))
    steady = [outcome for outcome in outcomes if not outcome.regimes]
    unstable = tuple(outcome.experiment.ways[1] for outcome in outcomes if outcome.regimes)
    intervals = [effects.interval_of_best(outcome.a, outcome.b, len(tried)) for outcome in steady]
    better = [(outcome, *ends) for outcome, ends in zip(steady, intervals, strict=True) if ends[0] > 1]
    if not better:
        return Best(tried[0], len(tried), unstable)
    fastest = max(better, key=lambda outcome_and_ends: outcome_and_ends[0].effect.ratio)
    return Best(tried[0], len(tried), unstable, *fastest)
