"""A finding: the result of a parity run for one model on one machine, a versioned line of JSON."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from bcdl.parity.settings import MOST, Plan
from bcdl.records import archive, checks, log
from bcdl.records.fields import MOMENT, Field
from bcdl.records.line import MISFITS, MOST_COUNT, parse_object
from bcdl.records.log import Problem
from bcdl.records.record import finite
from bcdl.records.shapes import Environment

# 1: the first schema.
# 2: `batches`, `layer_checks` and `worst_layer_check` (before, `food`, `units` and `worst_unit`); the `outcome` of a
#    pair (before, the first words of its verdict); `chaos` has no backend and no draws if there were no perturbed runs
#    (before, it was empty); null stands for a number that is not finite (before, no such finding could be kept).
# 3: `sequence`; before, findings were not counted.
# 4: `reference.sketch_length`; before, references were kept whole, so that `errors` were exact.
SCHEMA = 4

# What the verdict on a pair of backends comes to.
IDENTICAL, WITHIN_ROUNDING, DIFFERS, NOT_JUDGED = "identical", "within rounding", "differs", "not judged"
OUTCOMES = (IDENTICAL, WITHIN_ROUNDING, DIFFERS, NOT_JUDGED)

Number = float | None  # None stands for a number that is not finite
_DONE = "if it could be exchanged"


class DatasetFacts(TypedDict):
    """The images that the backends were given."""

    name: Annotated[str, Field("the data set's name", "findings of other data are no equals")]
    checksum: Annotated[str, Field("SHA-256 of what the backends were given", "all had the same bytes")]


class Determinism(TypedDict, total=False):
    """What it costs to make a backend repeat itself."""

    ratio: Annotated[
        float, Field("time of a step made deterministic, over that of one as it is", "what users would pay")
    ]
    repeats: Annotated[
        bool, Field("whether the deterministic steps repeat themselves", "the setting may not be enough")
    ]
    steps_s: Annotated[
        dict[str, list[float]],
        Field("time of the steps in each process", "the ratio's spread shows", unit="s", keys=("way",)),
    ]


class BackendFindings(TypedDict):
    """The part of a finding that is about one backend."""

    start: Annotated[
        str, Field("digest of the weights that it starts from", "backends must start equal to be compared")
    ]
    batches: Annotated[list[str], Field("digest of the batches of each epoch", "they must be given equal images")]
    losses: Annotated[
        list[Number], Field("loss of each step; null if not finite", "where runs part shows", unit="nats")
    ]
    repeats_itself: Annotated[
        bool,
        Field("whether the same steps gave the same bits again", "else a difference may be the backend's own noise"),
    ]
    steps_s: Annotated[float, Field("time of all steps", "parity must not be had by being slow", unit="s")]
    started: Annotated[
        str,
        Field("when its worker began", "when it was; which finding is the newest, `sequence` says", unit=MOMENT),
    ]
    ended: Annotated[str, Field("when it ended", "as `started`", unit=MOMENT)]
    environment: Annotated[
        Environment, Field("machine, versions and code", "a finding holds for the versions it names")
    ]
    determinism: Annotated[
        Determinism,
        Field(
            "what repeating itself costs; empty if it does so anyway, or if that was not measured", "the price is known"
        ),
    ]


class _Sketched(TypedDict, total=False):
    """What a reference has that was kept as sketches."""

    sketch_length: Annotated[
        int,
        Field(
            "sums by which each layer's values were kept",
            "`errors` are estimates, to a share of 1 / sqrt(2 x this number) of themselves",
            since=4,
            only="if it was not kept whole",
            least=1,
            most=MOST,
        ),
    ]


class Reference(_Sketched):
    """The float64 reference, and the relative errors that show what it is worth."""

    backend: Annotated[str, Field("the backend that computed it", "float64 is not sound on each")]
    worst_layer_check: Annotated[
        Number, Field("largest relative error of a layer against NumPy", "the judge is judged, too", since=2)
    ]
    gradient_check: Annotated[
        Number, Field("relative error of its gradient against differences", "as `worst_layer_check`")
    ]
    environment: Annotated[Environment, Field("its machine, versions and code", "as that of a backend")]


class Suspect(TypedDict):
    """The first layer of a backend beyond its own tolerance, and the known cause."""

    layer: Annotated[str, Field("name of the layer", "whoever looks for the cause begins there")]
    type: Annotated[str, Field("class of the layer", "a cause is often that of a class")]
    seen_in: Annotated[str, Field("what was compared: layers in inference or in training", "as `layer`")]
    error: Annotated[
        Number, Field("its relative error; null if no layer is beyond its tolerance, or not finite", "how far")
    ]
    tolerance: Annotated[Number, Field("its own tolerance", "what `error` is held to")]
    backend: Annotated[str, Field("the backend", "whom to ask")]
    cause: Annotated[str, Field("the known cause, in words", "a difference is explained or said to be unknown")]


class Distance(TypedDict):
    """How far two runs are apart."""

    weights: Annotated[Number, Field("of weights, as a share of the way they have come", "what drift is judged by")]
    loss: Annotated[Number, Field("of the loss", "what users would see of it", unit="nats")]


class Pair(TypedDict):
    """Two backends beside each other."""

    start: Annotated[bool, Field("whether both start from the same weights", "else nothing can be compared")]
    batches: Annotated[bool, Field("whether both get the same batches", "as `start`", since=2)]
    settled: Annotated[
        bool, Field("whether both settled the batch norms alike", "else what begins with them says nothing")
    ]
    bits: Annotated[bool, Field("whether all is the same to the bit", "then no tolerance is needed")]
    relative: Annotated[
        dict[str, Number],
        Field("relative difference of each quantity", "what the verdict is about", keys=("quantity",)),
    ]
    max_abs: Annotated[
        dict[str, Number],
        Field("largest absolute difference of each", "a relative one hides small values", keys=("quantity",)),
    ]
    steps: Annotated[
        dict[str, Distance], Field("how far both are apart after training", "rounding grows", keys=("steps",))
    ]
    drifted: Annotated[str, Field("which distance is too large, in words; empty if none is", "it decides the verdict")]
    outcome: Annotated[
        str,
        Field(
            "`identical`, `within rounding`, `differs` or `not judged`",
            "pages mark backends by it",
            since=2,
            choices=OUTCOMES,
        ),
    ]
    verdict: Annotated[str, Field("the verdict with its reason, in words", "people read it")]


class Draw(TypedDict):
    """One run whose pixels were moved by one ulp: its distance from the unmoved run."""

    weights: Annotated[dict[str, Number], Field("of weights, as in a pair", "the size of chaos", keys=("steps",))]
    loss: Annotated[dict[str, Number], Field("of the loss", "as `weights`", unit="nats", keys=("steps",))]


class Chaos(TypedDict):
    """The perturbed runs, and the backend that made them."""

    backend: Annotated[str, Field("the backend that made them; empty if there were none", "chaos is shown on one")]
    draws: Annotated[list[Draw], Field("the runs", "drift beyond all of them is no rounding")]


class Exchange(TypedDict, total=False):
    """A checkpoint of one backend on another, beside the backend that saved it; or `error` alone."""

    loads_as_it_is: Annotated[bool, Field("whether Keras loads it without help", "what users try", only=_DONE)]
    same_state: Annotated[bool, Field("whether all values are the same", "nothing is lost", only=_DONE)]
    outputs_max_abs: Annotated[Number, Field("largest difference of the outputs", "the model is the same", only=_DONE)]
    resumed_loss: Annotated[
        Number, Field("difference of the loss after training on", "optimizers are, too", unit="nats", only=_DONE)
    ]
    resumed_outputs_max_abs: Annotated[
        Number, Field("largest difference of the outputs after that", "as `resumed_loss`", only=_DONE)
    ]
    error: Annotated[
        str, Field("why it could not be exchanged", "a failure is a finding", only="if it could not be exchanged")
    ]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One model's parity; each attribute is a field of the line, and has its row."""

    run: Annotated[str, Field("id of the run that made it", "the latest finding of a model counts")]
    plan: Annotated[Plan, Field("what was compared", "it holds for these sizes and this arithmetic")]
    dataset: Annotated[DatasetFacts, Field("the images", "as `plan`")]
    backends: Annotated[
        dict[str, BackendFindings], Field("what each backend computed", "what pairs are made of", keys=("backend",))
    ]
    reference: Annotated[
        Reference | None, Field("the float64 reference; null if there was none", "it judges the backends")
    ]
    tolerance: Annotated[
        dict[str, Number],
        Field(
            "relative difference from the reference that is still rounding",
            "it is measured, not chosen",
            keys=("quantity",),
        ),
    ]
    errors: Annotated[
        dict[str, dict[str, Number]],
        Field("relative difference from the reference", "what is held to `tolerance`", keys=("backend", "quantity")),
    ]
    suspects: Annotated[
        dict[str, Suspect],
        Field("the layer under suspicion of a backend beyond its tolerance", "where to look", keys=("backend",)),
    ]
    pairs: Annotated[dict[str, Pair], Field("each two backends beside each other", "the verdicts", keys=("pair",))]
    chaos: Annotated[Chaos, Field("runs perturbed by one ulp", "how much training alone amplifies rounding")]
    checkpoints: Annotated[
        dict[str, dict[str, Exchange]],
        Field("a checkpoint of one backend on another", "models are moved between them", keys=("backend", "loader")),
    ]
    layer_checks: Annotated[
        dict[str, dict[str, Number]],
        Field(
            "relative error of single layers against NumPy",
            "a fault is found where it begins",
            since=2,
            keys=("backend", "layer_check"),
        ),
    ]
    lacking: Annotated[
        dict[str, str],
        Field(
            "precisions that this machine has no arithmetic for, with the reason",
            "what was not compared, and why",
            keys=("precision",),
        ),
    ]
    sequence: Annotated[
        int,
        Field(
            "its count among all findings of its results folder, from 1; 0 if it was not counted",
            "the newest is known, whatever the clock said",
            since=3,
            most=MOST_COUNT,
        ),
    ] = dataclasses.field(default=0, compare=False)

    def to_json(self) -> str:
        """The finding as one line; numbers that are not finite, which JSON has no word for, become null."""
        return json.dumps({"schema": SCHEMA, **finite(dataclasses.asdict(self))}, allow_nan=False)

    @property
    def marks(self) -> list[tuple[str, Hashable]]:
        """What no two different findings have in common: a run judges each plan once."""
        return [("one plan of one run", (self.run, self.plan))]

    @property
    def environment(self) -> Mapping[str, Any]:
        """That of the first backend; empty if there is none."""
        return next((backend["environment"] for backend in self.backends.values()), {})

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
            checks.check_parts(checks.of_shape(Finding), values)
            finding = cls(plan=Plan(**values.pop("plan")), **values)
            _check(finding)
            finding.to_json()  # what can't be written again can't be drawn either
            return finding
        except MISFITS as error:
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


_EXCHANGED = frozenset(Exchange.__annotations__) - {"error"}


def _check(finding: Finding) -> None:
    """ValueError if fields, each of which is what its row says, do not fit together."""
    pairs = itertools.combinations(finding.backends, 2)
    if not finding.pairs.keys() <= {pair_name(a, b) for a, b in pairs}:
        raise ValueError(f"pairs of other backends: {', '.join(finding.pairs)[:60]}")
    for exchange in (exchange for loaders in finding.checkpoints.values() for exchange in loaders.values()):
        if "error" not in exchange and not exchange.keys() >= _EXCHANGED:
            raise ValueError("an exchange of checkpoints is not whole")
    for backend in finding.backends.values():
        if backend["determinism"] and not backend["determinism"].keys() >= Determinism.__annotations__.keys():
            raise ValueError("a cost of determinism is not whole")


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


def _to_4(values: dict[str, Any]) -> None:
    """Nothing: a reference without `sketch_length` was kept whole."""


# By the schema from which they lift a finding to the next.
_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {1: _to_2, 2: _to_3, 3: _to_4}

# The readers of all logs that come home: `bcdl.records` knows none of parity.
READERS = {**archive.READERS, log.PARITY: archive.Reader(Finding.from_json, SCHEMA)}
