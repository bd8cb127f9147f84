"""A finding: the result of a parity run for one model on one machine, a versioned line of JSON."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from bcdl.parity.settings import UNIT_ROUNDOFF, Plan
from bcdl.records import log
from bcdl.records.line import parse_object
from bcdl.records.log import Problem
from bcdl.records.record import finite
from bcdl.records.schema import Environment, fits

# 1: the first schema.
# 2: `batches`, `layer_checks` and `worst_layer_check` (before, `food`, `units` and `worst_unit`); the `outcome` of a
#    pair (before, the first words of its verdict); `chaos` has no backend and no draws if there were no perturbed runs
#    (before, it was empty); null stands for a number that is not finite (before, no such finding could be kept).
# 3: `sequence`; before, findings were not counted.
SCHEMA = 3

# What the verdict on a pair of backends comes to.
IDENTICAL, WITHIN_ROUNDING, DIFFERS, NOT_JUDGED = "identical", "within rounding", "differs", "not judged"
OUTCOMES = (IDENTICAL, WITHIN_ROUNDING, DIFFERS, NOT_JUDGED)

Number = float | None  # None stands for a number that is not finite
_MOST = 2**31  # of the sizes and counts in a plan, which stand in names of files


class DatasetFacts(TypedDict):
    """The images: name, and SHA-256 of what the backends were given."""

    name: str
    checksum: str


class Determinism(TypedDict, total=False):
    """What it costs to make a backend repeat itself.

    `ratio` is that of the times of a step, made deterministic to as it is; `steps_s` has the seconds of each process.
    """

    ratio: float
    repeats: bool
    steps_s: dict[str, list[float]]


class BackendFindings(TypedDict):
    """The part of a finding that is about one backend.

    `start` is the digest of its weights, `batches` one digest an epoch, `losses` nats by step, `steps_s` seconds of all
    steps. `determinism` is empty if the backend repeats itself, or if that was not measured.
    """

    start: str
    batches: list[str]
    losses: list[Number]
    repeats_itself: bool
    steps_s: float
    started: str
    ended: str
    environment: Environment
    determinism: Determinism


class Reference(TypedDict):
    """The float64 reference: its backend and environment, and the relative errors that show what it is worth."""

    backend: str
    worst_layer_check: Number
    gradient_check: Number
    environment: Environment


class Suspect(TypedDict):
    """The first layer of a backend beyond its own tolerance, and the known cause; `error` is None if no layer is."""

    layer: str
    type: str
    seen_in: str
    error: Number
    tolerance: Number
    backend: str
    cause: str


class Distance(TypedDict):
    """How far two runs are apart: weights, as a share of the way they have come, and loss, nats."""

    weights: Number
    loss: Number


class Pair(TypedDict):
    """Two backends beside each other.

    `start`, `batches`, `settled` and `bits` say whether these are the same; `relative` and `max_abs` are differences by
    quantity, `steps` distances by number of steps; `drifted` says which of them is too large, and is empty if none is.
    `outcome` is one of `OUTCOMES`, `verdict` the same in words, with the reason.
    """

    start: bool
    batches: bool
    settled: bool
    bits: bool
    relative: dict[str, Number]
    max_abs: dict[str, Number]
    steps: dict[str, Distance]
    drifted: str
    outcome: str
    verdict: str


class Draw(TypedDict):
    """One run whose pixels were moved by one ulp: its distance from the unmoved run, by number of steps."""

    weights: dict[str, Number]
    loss: dict[str, Number]


class Chaos(TypedDict):
    """The perturbed runs, and the backend that made them; no backend and no draws if there were none."""

    backend: str
    draws: list[Draw]


class Exchange(TypedDict, total=False):
    """A checkpoint of one backend on another, beside the backend that saved it; or `error` alone."""

    loads_as_it_is: bool
    same_state: bool
    outputs_max_abs: Number
    resumed_loss: Number
    resumed_outputs_max_abs: Number
    error: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One model's parity.

    Attributes:
        run: id of the run that made it.
        plan: what was compared.
        dataset: the images.
        backends: the findings of each backend, by name.
        reference: the float64 reference, or None if there was none.
        tolerance: by quantity, the relative difference from the reference that is still rounding.
        errors: by backend and quantity, the relative difference from the reference.
        suspects: the suspect of each backend that is beyond its tolerance.
        pairs: each two backends, by `pair_name`.
        chaos: the runs perturbed by one ulp.
        checkpoints: each exchange, by the backend that saved and the backend that loaded.
        layer_checks: by backend, the relative error of each row of `bcdl.parity.worker.layer_checks`.
        lacking: precisions that this machine has no arithmetic for, each with the reason.
        sequence: its count among all findings of its results folder, from 1; 0 if it was not counted.
    """

    run: str
    plan: Plan
    dataset: DatasetFacts
    backends: dict[str, BackendFindings]
    reference: Reference | None
    tolerance: dict[str, Number]
    errors: dict[str, dict[str, Number]]
    suspects: dict[str, Suspect]
    pairs: dict[str, Pair]
    chaos: Chaos
    checkpoints: dict[str, dict[str, Exchange]]
    layer_checks: dict[str, dict[str, Number]]
    lacking: dict[str, str]
    sequence: int = dataclasses.field(default=0, compare=False)

    def to_json(self) -> str:
        """The finding as one line; numbers that are not finite, which JSON has no word for, become null."""
        return json.dumps({"schema": SCHEMA, **finite(dataclasses.asdict(self))}, allow_nan=False)

    def distance(self, pair: str, step: int) -> Distance | None:
        """How far the pair was apart after so many steps; None if it was not measured."""
        return self.pairs[pair]["steps"].get(str(step)) if pair in self.pairs else None

    def drifts(self, step: int) -> list[Number]:
        """How far the weights of each perturbed run were from the unmoved run's after so many steps."""
        return [draw["weights"][str(step)] for draw in self.chaos["draws"] if str(step) in draw["weights"]]

    @classmethod
    def from_json(cls, line: str) -> Finding:
        """The finding on `line`, upgraded from an older schema; ValueError, with the reason, if it is none."""
        values = parse_object(line, SCHEMA, "a parity finding")
        schema = values.pop("schema")
        try:
            for older in range(schema, SCHEMA):
                _UPGRADES[older](values)
            finding = cls(plan=_plan(values.pop("plan")), **values)
            _check(finding)
            finding.to_json()  # what can't be written again can't be drawn either
            return finding
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"a parity finding whose fields do not fit schema {schema} ({error})") from error


def pair_name(first: str, second: str) -> str:
    """The key of a pair of backends."""
    return "-".join(sorted((first, second)))


def as_float(number: Number) -> float:
    """The number, or NaN in place of one that is not finite."""
    return math.nan if number is None else number


def append_finding(results: Path, machine: str, finding: Finding) -> Path:
    """Add the finding, counted, to its run's file, on the disk when this returns; the file's path."""
    return log.append(
        results, log.PARITY, machine, finding.run, lambda count: dataclasses.replace(finding, sequence=count).to_json()
    )


def read_findings(results: Path) -> tuple[list[tuple[str, Finding]], list[Problem]]:
    """Every finding with its machine, oldest first, and each thing that is not a finding."""
    return log.read(results / log.PARITY, Finding.from_json, SCHEMA)


def _plan(values: dict[str, Any]) -> Plan:
    plan = Plan(**values)
    if plan.precision not in UNIT_ROUNDOFF or not fits(str)(plan.model) or not fits(str)(plan.device):
        raise ValueError(f"no model, device and precision of a parity plan: {str(values)[:60]}")
    for name, least in {"image_size": 1, "batch_size": 1, "seed": 0, "draws": 0}.items():
        value = getattr(plan, name)
        if not fits(int)(value) or not least <= value <= _MOST:
            raise ValueError(f"the plan's {name} is {str(value)[:60]}")
    return plan


_SHAPES: dict[str, Any] = {
    "run": str,
    "dataset": DatasetFacts,
    "backends": dict[str, BackendFindings],
    "tolerance": dict[str, Number],
    "errors": dict[str, dict[str, Number]],
    "suspects": dict[str, Suspect],
    "pairs": dict[str, Pair],
    "chaos": Chaos,
    "checkpoints": dict[str, dict[str, Exchange]],
    "layer_checks": dict[str, dict[str, Number]],
    "lacking": dict[str, str],
    "sequence": int,
}
_EXCHANGED = frozenset(Exchange.__annotations__) - {"error"}


def _check(finding: Finding) -> None:
    """ValueError if a field does not have the shape that readers rely on."""
    shapes = _SHAPES | ({} if finding.reference is None else {"reference": Reference})
    for name, shape in shapes.items():
        value = getattr(finding, name)
        if not fits(shape)(value):
            raise ValueError(f"{name} is not what it should be: {str(value)[:60]}")
        _check_sizes(name, value)
    pairs = itertools.combinations(finding.backends, 2)
    if not finding.pairs.keys() <= {pair_name(a, b) for a, b in pairs}:
        raise ValueError(f"pairs of other backends: {', '.join(finding.pairs)[:60]}")
    if not {pair["outcome"] for pair in finding.pairs.values()} <= set(OUTCOMES):
        raise ValueError("a pair has an unknown outcome")
    for exchange in (exchange for loaders in finding.checkpoints.values() for exchange in loaders.values()):
        if "error" not in exchange and not exchange.keys() >= _EXCHANGED:
            raise ValueError("an exchange of checkpoints is not whole")
    for backend in finding.backends.values():
        if backend["determinism"] and not backend["determinism"].keys() >= Determinism.__annotations__.keys():
            raise ValueError("a cost of determinism is not whole")


def _check_sizes(name: str, value: Any) -> None:
    """ValueError if a number in `value` is negative: all are norms, losses, times or ratios."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key != "environment":
                _check_sizes(name, part)
    elif isinstance(value, list):
        for part in value:
            _check_sizes(name, part)
    elif isinstance(value, (int, float)) and value < 0:
        raise ValueError(f"{name} has a negative number: {value}")


def _to_2(values: dict[str, Any]) -> None:
    for backend in values["backends"].values():
        backend["batches"] = backend.pop("food")
        steps_s = backend["determinism"].get("steps_s", {})
        if "as it is" in steps_s:
            steps_s["as_it_is"] = steps_s.pop("as it is")
    for pair in values["pairs"].values():
        pair["batches"] = pair.pop("food")
        pair["outcome"] = _outcome_of_schema_1(pair["verdict"])
    if values["reference"] is not None:
        values["reference"]["worst_layer_check"] = values["reference"].pop("worst_unit")
    values["chaos"] = values["chaos"] or {"backend": "", "draws": []}
    values["layer_checks"] = values.pop("units")


def _outcome_of_schema_1(verdict: str) -> str:
    if verdict.startswith("within "):
        return WITHIN_ROUNDING
    for outcome in (IDENTICAL, DIFFERS, NOT_JUDGED):
        if verdict.startswith(outcome):
            return outcome
    raise ValueError(f"unknown verdict {verdict[:60]!r}")


def _to_3(values: dict[str, Any]) -> None:
    values["sequence"] = 0


# By the schema from which they lift a finding to the next.
_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {1: _to_2, 2: _to_3}
