"""An experiment: the same work measured in two ways in turn, as a line of JSON from which its table can be rebuilt.

Experiments show what the methodology claims: `bcdl.experiments` runs them, the report draws their tables.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Annotated, Any

from bcdl.machine.provenance import short_commit
from bcdl.records import checks, log
from bcdl.records.fields import Field
from bcdl.records.line import MISFITS, MOST_COUNT, parse_object
from bcdl.records.log import Problem
from bcdl.records.shapes import Environment
from bcdl.settings.cell import Cell

# 1: the first schema.
# 2: `sample` and `cell`. Schema 1 has neither; its environment has a platform only if it measured in one process.
# 3: `slowdown`; before, only the names of the ways said it. The experiment on batch callbacks has another name.
# 4: `sequence`; before, experiments were not counted.
SCHEMA = 4
SECONDS = "s"  # the unit of an experiment that measures times
IN_ONE_PROCESS = "window"  # the sample of one whose rounds ran in one process


class ExperimentError(ValueError):
    """A line that can't be read as an experiment; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Rates, or times, of two ways: a pair from each round. Each attribute is a field of the line, and has its row."""

    run: Annotated[str, Field("id of the run that recorded it", "experiments of a run stand in one file")]
    name: Annotated[str, Field("the experiment's title", "the section that it stands in")]
    subject: Annotated[str, Field("what was measured, in words: model, backend, sizes", "its line in tables")]
    ways: Annotated[
        tuple[str, str], Field("the names of the two ways", "they are only shown: no figure depends on them")
    ]
    a: Annotated[
        list[float],
        Field(
            "rates of the first way, one a round; times, if the unit is `s`",
            "ratios are of a round's pair",
            unit="`unit`",
        ),
    ]
    b: Annotated[list[float], Field("the same of the second way, in the same rounds", "as `a`", unit="`unit`")]
    environment: Annotated[
        dict[str, Any],
        Field("machine, versions and code that measured it", "figures of other ones are no equals", shape=Environment),
    ]
    unit: Annotated[str, Field("of `a` and `b`: `s` if they are times", "less is better of times, worse of rates")] = (
        "images/s"
    )
    searches: Annotated[
        bool,
        Field(
            "whether the ways are settings that a user may choose among, the first of them the default",
            "the best of several is corrected for having been picked",
        ),
    ] = False
    sample: Annotated[
        str,
        Field(
            "what a way has in a round: a `process` of its own, or a `window` of one process that lasts all rounds",
            "of windows, p and interval hold for that process, and another may differ",
            since=2,
        ),
    ] = "window"
    cell: Annotated[
        dict[str, Any],
        Field(
            "settings of the cell; empty if schema 1 recorded it",
            "the noise of a machine is of equal cells",
            since=2,
            shape=Cell,
        ),
    ] = dataclasses.field(default_factory=dict)
    slowdown: Annotated[
        float | None,
        Field(
            "by which share of a step's time the second way was slowed down on purpose; null if the ways differ in "
            "something else",
            "at 0 the sides are equal, and any difference is noise",
            since=3,
        ),
    ] = None
    sequence: Annotated[
        int,
        Field(
            "its count among all experiments of its results folder, from 1; 0 if it was not counted",
            "the newest is known, whatever the clock said",
            since=4,
            most=MOST_COUNT,
        ),
    ] = dataclasses.field(default=0, compare=False)

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
        except MISFITS as error:
            raise ExperimentError(f"an experiment whose fields do not fit schema {schema} ({error})") from error

    @property
    def marks(self) -> list[tuple[str, Hashable]]:
        """What no two different experiments have in common: two never give the same times or rates."""
        return [("one experiment of one run", (self.run, self.name, self.subject, *self.a, *self.b))]

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


def _to_4(values: dict[str, Any]) -> None:
    values["sequence"] = 0


# Each lifts an experiment to the next schema, by the schema that it has.
_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {1: _to_2, 2: _to_3, 3: _to_4}


def _check(values: dict[str, Any]) -> None:
    """ValueError if a field is not what readers rely on; KeyError if one is missing."""
    checks.check_parts(checks.of_shape(Experiment), values)
    if not 0 < len(values["a"]) == len(values["b"]):
        raise ValueError(f"a has {len(values['a'])} rounds and b {len(values['b'])}")


def append(results: Path, machine: str, experiment: Experiment) -> Path:
    """Add the experiment, counted, to its run's file, whose path it returns; it is then on the disk."""
    return log.append(
        results,
        log.EXPERIMENTS,
        machine,
        experiment.run,
        lambda count: dataclasses.replace(experiment, sequence=count).to_json(),
    )


def read_all(results: Path) -> tuple[list[tuple[str, Experiment]], list[Problem]]:
    """Every experiment with its machine, oldest first, and what in the log could not be read."""
    return log.read(results / log.EXPERIMENTS, Experiment.from_json, SCHEMA)
