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

from bcdl.errors import UsageError
from bcdl.machine.provenance import short_commit
from bcdl.records import store
from bcdl.report.tables import Table, figures, word, words
from bcdl.statistics import effects

# 1: the first schema.
# 2: `sample` and `cell`. What schema 1 recorded describes its framework only where it ran in the experiment's process.
SCHEMA = 2
EXPERIMENTS = "experiments"
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
    """Add the experiment to its run's file."""
    file = results / EXPERIMENTS / machine / f"{experiment.run}.jsonl"
    store.append_line(file, experiment.to_json())
    return file


def read_all(results: Path) -> list[tuple[str, Experiment]]:
    """Every experiment with its machine, oldest run first; UsageError, naming the line, where one can't be read."""
    found = []
    for file in sorted((results / EXPERIMENTS).glob("*/*.jsonl"), key=lambda path: (path.stem, path)):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                values = json.loads(line)
                if values.pop("schema") > SCHEMA:
                    raise ValueError("its schema is newer than this bcdl reads; update bcdl")
                values["ways"] = tuple(values["ways"])
                values.setdefault("sample", "window" if "platform" in values["environment"] else "process")
                found.append((file.parent.name, Experiment(**values)))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise UsageError(f"{file.name}, line {number} is no experiment: {error}") from error
    return found


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
    """The largest noise that equal sides have shown on the machine, and on which subject; None where none was tried."""
    tried = newest([(where, one) for where, one in read_all(results) if where == machine])
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
    measured = map(figures, ("best / default", "95% interval of the best", "others tried", "rounds"))
    columns = (*map(words, ("subject", "setting", "default", "best")), *measured, words("sample"))
    return Table("Best settings", columns, tuple(tuple(map(word, row)) for row in rows))


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
    measured = map(figures, ("a, median", "b, median", "b / a", "95% interval", *difference, "p", "rounds"))
    columns = (*map(words, ("subject", "a", "b")), *measured, *map(words, ("sample", "measured", "commit")))
    return Table(f"{name} ({unit})", columns, tuple(tuple(map(word, row)) for row in rows))


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
