"""Statistics of experiments: the newest of each, how their ways differ, the noise of equal sides, the best settings."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Key, Purpose
from bcdl.records.experiment import Experiment
from bcdl.statistics import effects
from bcdl.statistics.effects import Effect
from bcdl.statistics.estimated import Estimated

_FEWEST = 3  # rounds, with which there is an interval or a scatter


@dataclasses.dataclass(frozen=True)
class Outcome:
    """An experiment, and what its rounds say."""

    experiment: Experiment

    @functools.cached_property
    def effect(self) -> Effect:
        """How the second way stands to the first."""
        return effects.paired(self.experiment.a, self.experiment.b)

    @property
    def difference(self) -> Estimated:
        """By how much the second way is larger, in the experiment's unit: the mean over rounds.

        Its interval is Student's; NaN of fewer than 3 rounds.
        """
        differences = [b - a for a, b in zip(self.experiment.a, self.experiment.b, strict=True)]
        return Estimated(statistics.mean(differences), *effects.mean_interval(differences))


@dataclasses.dataclass(frozen=True)
class Best:
    """The best of the settings that were tried on one subject, beside the default.

    Attributes:
        default: an experiment of the subject; its first way is the default.
        tried: how many others were tried.
        best: the fastest of those whose interval lies above the default; None if none does.
        low, high: the interval of its ratio to the default, 95 percent for all that were tried at once.
    """

    default: Experiment
    tried: int
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


def made_alike(
    experiments: Sequence[tuple[str, Experiment]], facts: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Experiment]]:
    """Those of the experiments whose place agrees with that of a sample, whose `facts` are those of rates by name."""
    names = comparability.names(Purpose.EXPERIMENTS)
    known = ({name: of_sample.get(name) for name in names} for of_sample in facts)
    places = {
        tuple((name, comparability.frozen(value)) for name, value in of_sample.items() if value is not None)
        for of_sample in known
    }
    return [(machine, made) for machine, made in experiments if _place_of(made) in places]


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


def noise(experiment: Experiment, rounds: int) -> float:
    """Standard error that the log ratio of both ways has in a comparison of so many rounds."""
    logs = [math.log(b / a) for a, b in zip(experiment.a, experiment.b, strict=True)]
    return statistics.stdev(logs) / math.sqrt(rounds)


def noise_of_equal_sides(
    experiments: Sequence[tuple[str, Experiment]], machine: str, rounds: int
) -> tuple[float, str] | None:
    """The largest noise that equal sides have shown on the machine, and on which subject; None if none was tried."""
    tried = newest([(its_machine, experiment) for its_machine, experiment in experiments if its_machine == machine])
    equal = [made for group in tried.values() for made in group if made.slowdown == 0 and len(made.a) >= _FEWEST]
    return max(((noise(made, rounds), made.subject) for made in equal), default=None)


def best_settings(experiments: Sequence[Experiment]) -> list[Best]:
    """For each subject and experiment, the fastest of the settings that beat the default though picked among others."""
    searched: dict[tuple[str, str], list[Experiment]] = {}
    for experiment in experiments:
        searched.setdefault((experiment.subject, experiment.name), []).append(experiment)
    return [_best(tried) for tried in searched.values()]


def _best(tried: Sequence[Experiment]) -> Best:
    intervals = [effects.interval_of_best(setting.a, setting.b, len(tried)) for setting in tried]
    better = [(Outcome(setting), *ends) for setting, ends in zip(tried, intervals, strict=True) if ends[0] > 1]
    if not better:
        return Best(tried[0], len(tried))
    return Best(tried[0], len(tried), *max(better, key=lambda outcome_and_ends: outcome_and_ends[0].effect.ratio))
