"""An experiment: one thing measured two ways in turn, kept as a line of JSON, so that its table can be rebuilt.

What a methodology claims is shown by experiments: `benchmarks/experiment_*.py` run them, the report draws their tables.
Standard library and `significance` only.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bcdl.machine.provenance import short_commit
from bcdl.records import log
from bcdl.records.log import Problem
from bcdl.report.tables import Table
from bcdl.statistics import effects

# 1: the first schema.
# 2: `sample` and `cell`. What schema 1 recorded describes its framework only where it ran in the experiment's process.
SCHEMA = 2
SECONDS = "s"  # the unit of ways that are times
# The ways of an experiment on equal sides: what differs between them is noise.
EQUAL_SIDES = ("as it is", "as it is, again")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Rates of two ways, a pair a round.

    Attributes:
        run: id of the run that made it.
        name: of the experiment.
        subject: what it was done on: model, backend, sizes, in words.
        ways: the names of the two ways.
        a, b: rates of each way, by round; in `unit`.
        unit: of the rates, or `s` where they are times.
        environment: versions, machine, commit.
        sample: what a round has of each way: a `process` of its own, or a `window` of one process for all rounds, so
            that p and interval are of that process, and another may differ.
        cell: settings of the cell, as `Cell.to_dict` has them; empty in what schema 1 recorded.
        searches: whether the ways are settings that a user may choose among, the first of them the default.
    """

    run: str
    name: str
    subject: str
    ways: tuple[str, str]
    a: list[float]
    b: list[float]
    environment: dict[str, Any]
    unit: str = "images/s"
    searches: bool = False
    sample: str = "window"
    cell: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Experiment:
        """The experiment on `line`, upgraded from an older schema; ValueError, with the reason, if it is none."""
        values = log.parse_object(line, SCHEMA, "an experiment")
        schema = values.pop("schema")
        try:
            values["ways"] = tuple(values["ways"])
            values.setdefault("sample", "window" if "platform" in values["environment"] else "process")
            experiment = cls(**values)
            _check(experiment)
            return experiment
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"an experiment whose fields do not fit schema {schema} ({error})") from error

    @property
    def day(self) -> str:
        """When it ran, as the id of its run has it: year, month and day, UTC."""
        return f"{self.run[:4]}-{self.run[4:6]}-{self.run[6:8]}" if re.match(r"[0-9]{8}T", self.run) else "unknown"

    @property
    def commit(self) -> str:
        """The commit that it ran from, `*` where the tree had other changes."""
        return short_commit(self.environment)

    @functools.cached_property
    def effect(self) -> effects.Effect:
        """How the second way stands to the first."""
        return effects.paired(self.a, self.b)

    def noise(self, rounds: int) -> float:
        """Standard error that the ratio of both ways has in a comparison of so many rounds."""
        logs = [math.log(b / a) for a, b in zip(self.a, self.b, strict=True)]
        return statistics.stdev(logs) / math.sqrt(rounds)


def append(results: Path, machine: str, experiment: Experiment) -> Path:
    """Add the experiment to its run's file, on the disk when this returns; the file's path."""
    return log.append(results, log.EXPERIMENTS, machine, experiment.run, experiment.to_json())


def read_all(results: Path) -> tuple[list[tuple[str, Experiment]], list[Problem]]:
    """Every experiment with its machine, oldest run first, and each thing that is not an experiment."""
    return log.read(results / log.EXPERIMENTS, Experiment.from_json, SCHEMA)


def _check(experiment: Experiment) -> None:
    """ValueError if a field has not the shape that readers rely on."""
    words = (experiment.run, experiment.name, experiment.subject, experiment.unit, experiment.sample, *experiment.ways)
    if not all(isinstance(word, str) for word in words) or len(experiment.ways) != 2:
        raise ValueError("run, name, subject, unit, sample and two ways must be words")
    if not isinstance(experiment.environment, dict) or not isinstance(experiment.cell, dict):
        raise ValueError("environment and cell must be objects")
    for rates in (experiment.a, experiment.b):
        if not isinstance(rates, list) or not rates or not all(map(_is_rate, rates)):
            raise ValueError(f"rates must be numbers above 0, at least one of them, and are {str(rates)[:60]}")
    if len(experiment.a) != len(experiment.b):
        raise ValueError(f"{len(experiment.a)} rates of one way and {len(experiment.b)} of the other are no pairs")


def _is_rate(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0  # type: ignore[arg-type, operator]


def newest(experiments: Sequence[tuple[str, Experiment]]) -> dict[tuple[str, str], list[Experiment]]:
    """By machine and name, the experiments of the last run on each subject, in order of subject.

    `experiments` come oldest run first. A run has all ways of a subject, some of which an older one may not have had.
    """
    last = {(machine, one.name, one.subject): one.run for machine, one in experiments}
    found: dict[tuple[str, str], list[Experiment]] = {}
    for machine, one in experiments:
        if one.run == last[machine, one.name, one.subject]:
            found.setdefault((machine, one.name), []).append(one)
    return {key: sorted(some, key=_by_number) for key, some in sorted(found.items())}


def _by_number(one: Experiment) -> list[tuple[int, str]]:
    """A key that sorts words by letter and numbers by size: batch 8 before batch 16."""
    parts = re.split(r"([0-9]+)", "\0".join((one.subject, *one.ways)))  # words and numbers in turn
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def noise_of_equal_sides(results: Path, machine: str, rounds: int) -> tuple[float, str] | None:
    """The largest noise that equal sides have shown on the machine, and on which subject; None if none was tried.

    What can't be read among the experiments is left out.
    """
    tried = newest([(where, one) for where, one in read_all(results)[0] if where == machine])
    equal = [one for some in tried.values() for one in some if one.ways == EQUAL_SIDES and len(one.a) > 2]
    return max(((one.noise(rounds), one.subject) for one in equal), default=None)


def best_table(experiments: Sequence[Experiment]) -> Table:
    """For each subject, the fastest of the settings that beat the default although they were picked among others."""
    by_subject: dict[tuple[str, str], list[Experiment]] = {}
    for one in experiments:
        by_subject.setdefault((one.subject, one.name), []).append(one)
    rows = []
    for (subject, name), tried in by_subject.items():
        default, rounds = tried[0].ways[0], str(len(tried[0].a))
        intervals = [effects.interval_of_best(one.a, one.b, len(tried)) for one in tried]
        better = [(one, ends) for one, ends in zip(tried, intervals, strict=True) if ends[0] > 1]
        if better:
            best, ends = max(better, key=lambda found: found[0].effect.ratio)
            shown = (best.ways[1], f"{best.effect.ratio:.3f}", effects.between(*ends))
        else:
            shown = ("the default" if len(tried[0].a) > 2 else "too few rounds", "1", "")
        rows.append((subject, name, default, *shown, str(len(tried)), rounds, tried[0].sample))
    figures = ("best / default", "95% interval of the best", "others tried", "rounds", "sample")
    return Table("Best settings", ("subject", "setting", "default", "best", *figures), tuple(rows))


def table(name: str, experiments: Sequence[Experiment]) -> Table:
    """One line an experiment: medians of both ways, their ratio with its interval, the p-value, when and from what."""
    rows = []
    for one in experiments:
        effect = one.effect
        medians = (f"{median:.1f}" for median in effect.medians)
        found = (f"{effect.ratio:.3f}", effect.interval, *_difference(one), f"{effect.p:.2g}", str(len(one.a)))
        rows.append((one.subject, *one.ways, *medians, *found, one.sample, one.day, one.commit))
    unit = experiments[0].unit if experiments else ""
    difference = ("b - a",) if unit == SECONDS else ()
    figures = ("a, median", "b, median", "b / a", "95% interval", *difference, "p", "rounds")
    head = ("subject", "a", "b", *figures, "sample", "measured", "commit")
    return Table(f"{name} ({unit})", head, tuple(rows))


def _difference(one: Experiment) -> tuple[str, ...]:
    """Of times, by how many seconds the second way is longer, with Student's interval over rounds."""
    if one.unit != SECONDS:
        return ()
    differences = [b - a for a, b in zip(one.a, one.b, strict=True)]
    low, high = effects.mean_interval(differences)
    return (f"{statistics.mean(differences):+.2f}" + (f" ({low:+.2f} to {high:+.2f})" if not math.isnan(low) else ""),)


def versions(experiments: Sequence[Experiment]) -> list[str]:
    """Each set of versions that the experiments ran on, and when, a line each."""
    found: dict[str, list[str]] = {}
    for one in experiments:
        versions = one.environment.get("versions", {})
        found.setdefault(", ".join(f"{name} {version}" for name, version in versions.items()), []).append(one.day)
    return [f"{told or 'versions unknown'} ({_days(days)})" for told, days in found.items()]


def _days(days: Sequence[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"
