"""An experiment: the same work measured in two ways in turn, as a line of JSON from which its table can be rebuilt.

Experiments show what the methodology claims: `bcdl.experiments` runs them, the report draws their tables.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bcdl.machine.provenance import short_commit
from bcdl.records import log
from bcdl.records.line import parse_object
from bcdl.records.log import Problem

# 1: the first schema.
# 2: `sample` and `cell`. Schema 1 has neither; its environment has a platform only if it measured in one process.
# 3: `slowdown`; before, only the names of the ways said it. The experiment on batch callbacks has another name.
SCHEMA = 3
SECONDS = "s"  # the unit of an experiment that measures times
IN_ONE_PROCESS = "window"  # the sample of one whose rounds ran in one process


class ExperimentError(ValueError):
    """A line that can't be read as an experiment; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Rates, or times, of two ways: a pair from each round.

    Attributes:
        run: id of the run that recorded it.
        name: the experiment's title.
        subject: what was measured, in words: model, backend, sizes.
        ways: the names of the two ways. They are only shown: no figure depends on them.
        a, b: the rates of the first and of the second way, by round, in `unit`; times if that is `s`.
        environment: versions, machine, commit.
        unit: of the rates or times.
        searches: whether the ways are settings that a user may choose among, the first of them the default.
        sample: what each way has in a round: a `process` of its own, or a `window` of one process that lasts all
            rounds; then p and interval hold for that process, and another may differ.
        cell: settings of the cell, as `Cell.to_dict` has them; empty if schema 1 recorded it.
        slowdown: the share of a step's time by which the second way was slowed down on purpose. It is 0 of equal
            sides, between which any difference is noise, and None if the ways differ in something else.
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
    slowdown: float | None = None

    def to_json(self) -> str:
        """The experiment as one line."""
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Experiment:
        """The experiment on `line`, upgraded from an older schema; ExperimentError if the line is not an experiment."""
        try:
            values = parse_object(line, SCHEMA, "an experiment")
        except ValueError as error:
            raise ExperimentError(str(error)) from error
        schema = values.pop("schema")
        try:
            for older in range(schema, SCHEMA):
                _UPGRADES[older](values)
            _check(values)
            return cls(**{**values, "ways": tuple(values["ways"])})
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ExperimentError(f"an experiment whose fields do not fit schema {schema} ({error})") from error

    @property
    def day(self) -> str:
        """The day on which its run began, by the run's id: YYYY-MM-DD, UTC; or `unknown`."""
        return f"{self.run[:4]}-{self.run[4:6]}-{self.run[6:8]}" if re.match(r"[0-9]{8}T", self.run) else "unknown"

    @property
    def commit(self) -> str:
        """The commit of the code that measured it, with `*` if there were changes that it lacks."""
        return short_commit(self.environment)


def _to_2(values: dict[str, Any]) -> None:
    values["sample"] = "window" if "platform" in values["environment"] else "process"
    values["cell"] = {}


# The names of ways and experiments in schemas 1 and 2; those of today may differ.
_SLOWED = re.compile(r"slower by ([0-9]+(?:\.[0-9]+)?)%")
_AS_IT_IS = ["as it is", "as it is, again"]
_RENAMED = {"A batch callback changes what it measures": "What a batch callback costs"}


def _to_3(values: dict[str, Any]) -> None:
    slowed = _SLOWED.fullmatch(values["ways"][1])
    if values["ways"] == _AS_IT_IS:
        values["slowdown"] = 0.0
    else:
        values["slowdown"] = float(slowed[1]) / 100 if slowed else None
    values["name"] = _RENAMED.get(values["name"], values["name"])


# Each lifts an experiment to the next schema, by the schema that it has.
_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {1: _to_2, 2: _to_3}


def _check(values: dict[str, Any]) -> None:
    """ValueError if a field lacks the shape that readers rely on; TypeError or KeyError if a field is missing."""
    versions, slowdown = values["environment"].get("versions", {}), values["slowdown"]
    fits = {
        **{name: isinstance(values[name], str) for name in ("run", "name", "subject", "unit", "sample")},
        "ways": isinstance(values["ways"], list) and [type(way) for way in values["ways"]] == [str, str],
        "a": _are_rates(values["a"]),
        "b": _are_rates(values["b"]) and len(values["a"]) == len(values["b"]),
        "searches": isinstance(values["searches"], bool),
        "cell": isinstance(values["cell"], dict),
        "slowdown": slowdown is None or (_is_number(slowdown) and slowdown >= 0),
        "environment.versions": isinstance(versions, dict) and all(isinstance(v, str) for v in versions.values()),
    }
    wrong = [name for name, is_fit in fits.items() if not is_fit]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} not as it should be")


def _are_rates(values: object) -> bool:
    """Whether it is a list of one or more numbers above 0."""
    return isinstance(values, list) and bool(values) and all(_is_number(value) and value > 0 for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def append(results: Path, machine: str, experiment: Experiment) -> Path:
    """Add the experiment to its run's file, whose path it returns; it is then on the disk."""
    return log.append(results, log.EXPERIMENTS, machine, experiment.run, experiment.to_json())


def read_all(results: Path) -> tuple[list[tuple[str, Experiment]], list[Problem]]:
    """Every experiment with its machine, oldest run first, and what in the log could not be read."""
    return log.read(results / log.EXPERIMENTS, Experiment.from_json, SCHEMA)
