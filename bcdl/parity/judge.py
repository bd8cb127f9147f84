"""Makes a finding of dumps: differences, tolerances and a verdict for each pair of backends."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.parity import known_differences, references
from bcdl.parity.dumps import (
    BackendFacts,
    Dump,
    Loaded,
    Resumed,
    dump_of,
    read_layer_checks,
    relative,
)
from bcdl.parity.findings import (
    DIFFERS,
    IDENTICAL,
    NOT_JUDGED,
    WITHIN_ROUNDING,
    BackendFindings,
    Chaos,
    Distance,
    Exchange,
    Finding,
    Number,
    Pair,
    Reference,
    Suspect,
    as_float,
    pair_name,
)
from bcdl.parity.references import Part
from bcdl.parity.settings import STEPS, UNIT_ROUNDOFF, Plan, backend_of
from bcdl.parity.sketches import LENGTH, sketch

# What is compared: vectors of the dumps, in the order in which a fault shows first.
QUANTITIES = ("outputs", "training_outputs", "statistics", "frozen_gradient", "gradient")
# If rounding moves a quantity by more than this share, the quantity can't show a fault.
WIDEST = 0.5
# What rounding moves that far is as far off as two unrelated runs, and the few draws vary: it shows a fault only if it
# is this many times as far off as its tolerance, or not finite.
_HIDDEN_SAFETY = 4.0
# The quantities without which nothing is proven: forward in both modes, what training writes, and backward.
_DECISIVE = ("outputs", "training_outputs", "statistics", "frozen_gradient")
# The layers by which such a quantity is judged as far as it can be, if rounding hides it as a whole.
_LAYERS_OF = {
    "outputs": "inference_layers",
    "training_outputs": "training_layers",
    "statistics": "statistics",
    "frozen_gradient": "frozen_gradient",
}
_WALKS = ("inference_layers", "training_layers", "statistics", "frozen_gradient", "gradient")
# The quantities that begin with settled batch norms; they say nothing if the batch norms were settled differently.
_SETTLED = ("outputs", "inference_layers", "frozen_gradient")
# Parts smaller than this share of their vector are zero but for rounding: a bias before a batch norm has no gradient.
_NEGLIGIBLE = 1e-6
# Runs of a few steps may lie this many times farther apart than the farthest of the perturbed ones, since only the
# pixels of those were rounded, and only once, not every operation. At a late step, at which chaos has taken all, this
# can't fail; at the first ones it can.
_STEPS_SAFETY = 4.0

_Dumps = Mapping[str, Dump]


def judge(results: Path, folder: Path, plan: Plan, run: str, names: Sequence[str] = backends.NAMES) -> Finding:
    """The finding from the dumps of the plan under `results`, judged by the reference in `folder`, if there is one.

    The dumps are those with these names: of backends, or of sides of one.

    UsageError if there are fewer than two dumps, or if they, or the reference, were not made from the same plan, data
    and model.
    """
    dumps = _dumps(results, plan, names)
    facts = {name: dump.facts for name, dump in dumps.items()}
    _check_comparable(dumps, facts)
    reference = references.find(folder, plan)
    if reference:
        _check_reference(reference, dumps, facts, plan)
    judgement = _compare_with_reference(reference, dumps, facts, plan) if reference else _Judgement()
    chaos = _chaos(facts)
    pairs = {}
    for a, b in itertools.combinations(dumps, 2):
        pair = _pair(dumps[a], dumps[b], facts[a], facts[b])
        pair["drifted"] = _drifted(pair["steps"], chaos)
        suspects = [judgement.suspects[name] for name in (a, b) if name in judgement.suspects]
        pair["outcome"], pair["verdict"] = _verdict(pair, suspects, judgement, plan.precision)
        pairs[pair_name(a, b)] = pair
    return Finding(
        run=run,
        plan=plan,
        dataset=next(iter(facts.values()))["dataset"],
        backends={name: _backend_findings(dumps[name], fact) for name, fact in facts.items()},
        reference=judgement.reference,
        tolerance=judgement.tolerance,
        errors=judgement.errors,
        suspects=judgement.suspects,
        pairs=pairs,
        chaos=chaos,
        checkpoints=_checkpoints(dumps, facts),
        layer_checks={name: {**read_layer_checks(results, plan.precision, name)} for name in dumps},
        lacking={precision: why for precision in UNIT_ROUNDOFF if (why := hardware.lacks(plan.device, precision))},
    )


@dataclasses.dataclass(frozen=True)
class _Judgement:
    """What the reference says of the backends, as in `Finding`; nothing without a reference.

    `hidden` are the decisive quantities that rounding hides as a whole, each with how many of its layers it does not
    hide, and of how many.
    """

    reference: Reference | None = None
    tolerance: dict[str, Number] = dataclasses.field(default_factory=dict)
    errors: dict[str, dict[str, Number]] = dataclasses.field(default_factory=dict)
    suspects: dict[str, Suspect] = dataclasses.field(default_factory=dict)
    hidden: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def _dumps(results: Path, plan: Plan, names: Sequence[str]) -> _Dumps:
    """The dumps of the plan that are there, by their names."""
    dumps = {name: dump_of(results, plan, name) for name in names}
    dumps = {name: dump for name, dump in dumps.items() if dump.exists}
    if len(dumps) < 2:
        raise UsageError(
            f"parity of {plan.model} needs the dumps of two backends; there are {', '.join(dumps) or 'none'} in "
            f"{results}: run bcdl parity with each backend first"
        )
    return dumps


def _check_reference(
    reference: references.Reference, dumps: _Dumps, facts: Mapping[str, BackendFacts], plan: Plan
) -> None:
    """UsageError if the reference was not made from the weights, the images and the model of the dumps."""
    for name, fact in facts.items():
        references.check(reference, plan, fact, f"the dump of {name}")
    lengths = _lengths(next(iter(dumps.values())))
    expected = {vector: [part.size for part in parts] for vector, parts in reference.vectors.items()}
    if any(lengths.get(vector) != expected[vector] for vector in expected):
        raise UsageError(f"the reference of {plan.model} has vectors of other lengths than its dumps: make it anew")


def _check_comparable(dumps: _Dumps, facts: Mapping[str, BackendFacts]) -> None:
    """UsageError if the dumps were not made from the same plan, data and model."""
    sources: dict[str, list[Any]] = {
        "plan": [fact["plan"] for fact in facts.values()],
        "dataset": [fact["dataset"] for fact in facts.values()],
        "model definition": [[facts[name]["definition"], _lengths(dump)] for name, dump in dumps.items()],
    }
    for what, values in sources.items():
        if len({json.dumps(value, sort_keys=True) for value in values}) > 1:
            raise UsageError(f"the dumps of {', '.join(facts)} were made with another {what}: make them anew")


def _lengths(dump: Dump) -> dict[str, list[int]]:
    """The length of each part of each vector."""
    return {vector: [length for _, length in parts] for vector, parts in dump.segments.items()}


def _compare_with_reference(
    reference: references.Reference, dumps: _Dumps, facts: Mapping[str, BackendFacts], plan: Plan
) -> _Judgement:
    """Each backend against the float64 reference: errors, tolerances, and the first layer of those beyond them."""
    exact = reference.facts
    rounding = exact["rounding"][plan.precision]
    moved = {name: rounding["whole"][name] for name in QUANTITIES} | {"loss": rounding["loss"]}
    tolerance: dict[str, float] = {name: max(size, plan.least_tolerance) for name, size in moved.items()}
    hidden = {name: _judgeable(reference, name, plan) for name in _DECISIVE if not tolerance[name] <= WIDEST}
    errors: dict[str, dict[str, Number]] = {}
    suspects = {}
    for name, dump in dumps.items():
        skipped = () if facts[name]["settled"] == exact["settled"] else _SETTLED
        compared = [quantity for quantity in QUANTITIES if quantity not in skipped]
        error = {quantity: _relative(_gaps(dump, reference, quantity)) for quantity in compared}
        error["loss"] = abs(facts[name]["losses"][0] - exact["loss"]) / abs(exact["loss"])
        errors[name] = {**error}
        beyond = [quantity for quantity, size in error.items() if not size <= _allowed(tolerance[quantity])]
        # If rounding hides a quantity as a whole, its layers are judged, as far as it does not hide them.
        walks = _WALKS if beyond else [_LAYERS_OF[quantity] for quantity in hidden]
        widest = math.inf if beyond else WIDEST
        layer = _first_layer_beyond(dump, reference, [walk for walk in walks if walk not in skipped], plan, widest)
        if beyond or layer:
            suspects[name] = _suspect(name, layer, beyond[0] if beyond else "", facts[name]["layers"])
    kept: Reference = {
        "backend": exact["backend"],
        "worst_layer_check": exact["worst_layer_check"],
        "gradient_check": exact["gradient_check"],
        "environment": exact["environment"],
        "sketch_length": LENGTH,
    }
    return _Judgement(kept, {**tolerance}, errors, suspects, hidden)


@dataclasses.dataclass(frozen=True)
class _Gap:
    """How far a part of a dump's vector is from the reference's, by their sketches, and the norm of the latter."""

    part: Part
    distance: float

    @property
    def relative(self) -> float:
        return relative(np.array(self.distance), np.array(self.part.norm))


def _gaps(dump: Dump, reference: references.Reference, vector: str) -> list[_Gap]:
    """How far each part of the vector is from the reference's."""
    parts = reference.vectors[vector]
    edges = np.cumsum([part.size for part in parts])[:-1]
    return [
        _Gap(part, float(np.linalg.norm(sketch(given) - part.sketch)))
        for part, given in zip(parts, np.split(dump.vector(vector), edges), strict=True)
    ]


def _relative(gaps: Sequence[_Gap]) -> float:
    return relative(np.array([gap.distance for gap in gaps]), np.array([gap.part.norm for gap in gaps]))


@dataclasses.dataclass(frozen=True)
class _LayerBeyond:
    """A layer whose difference from the reference, in one of the walks, is beyond its own tolerance."""

    layer: str
    walk: str
    error: float
    tolerance: float


def _first_layer_beyond(
    dump: Dump, reference: references.Reference, walks: Sequence[str], plan: Plan, widest: float
) -> _LayerBeyond | None:
    """The first layer beyond its own tolerance, if that is not above `widest`, in the first walk that shows one."""
    for walk in walks:
        ordered = list(zip(_gaps(dump, reference, walk), _tolerances(reference, walk, plan), strict=True))
        # A wrong backward pass spoils what lies before it, so that the fault is nearest the outputs.
        for gap, allowed in reversed(ordered) if walk.endswith("gradient") else ordered:
            if allowed is not None and allowed <= widest and not gap.relative <= _allowed(allowed):
                return _LayerBeyond(_layer_of(gap.part.name), walk, gap.relative, allowed)
    return None


def _allowed(tolerance: float) -> float:
    """The difference up to which nothing is wrong: the tolerance, or more if that proves nothing in any case."""
    return tolerance if tolerance <= WIDEST else _HIDDEN_SAFETY * tolerance


def _tolerances(reference: references.Reference, walk: str, plan: Plan) -> list[float | None]:
    """The tolerance of each part of a walk; None for one that is zero but for rounding."""
    parts, moved = reference.vectors[walk], reference.facts["rounding"][plan.precision]["parts"][walk]
    negligible = _NEGLIGIBLE * float(np.linalg.norm([part.norm for part in parts]))
    return [
        max(size, plan.least_tolerance) if part.norm > negligible else None
        for part, size in zip(parts, moved, strict=True)
    ]


def _judgeable(reference: references.Reference, quantity: str, plan: Plan) -> tuple[int, int]:
    """How many layers of the quantity rounding does not hide, and of how many."""
    tolerances = [size for size in _tolerances(reference, _LAYERS_OF[quantity], plan) if size is not None]
    return sum(size <= WIDEST for size in tolerances), len(tolerances)


def _layer_of(part: str) -> str:
    """The layer that a part belongs to: a part has the name of its layer, or the path of one of its variables."""
    return part.split("/")[-2] if "/" in part else part


def _suspect(backend: str, beyond: _LayerBeyond | None, quantity: str, types: Mapping[str, str]) -> Suspect:
    """The suspect of a backend whose `quantity` is beyond its tolerance."""
    kind = types.get(beyond.layer, "layer") if beyond else ""
    return {
        "layer": beyond.layer if beyond else "no single layer",
        "type": kind,
        "seen_in": beyond.walk if beyond else quantity,
        "error": beyond.error if beyond else None,
        "tolerance": beyond.tolerance if beyond else None,
        "backend": backend,
        "cause": known_differences.cause_of(kind, backend_of(backend)),
    }


def _pair(a: Dump, b: Dump, facts_a: BackendFacts, facts_b: BackendFacts) -> Pair:
    """How far two backends are apart; drift and verdict are still to come."""
    pair: Pair = {
        "start": facts_a["start"] == facts_b["start"],
        "batches": facts_a["batches"] == facts_b["batches"],
        "settled": facts_a["settled"] == facts_b["settled"],
        "bits": facts_a["losses"] == facts_b["losses"],
        "relative": {},
        "max_abs": {},
        "steps": {str(step): _distance(a, b, facts_a, facts_b, step) for step in STEPS},
        "drifted": "",
        "outcome": NOT_JUDGED,
        "verdict": NOT_JUDGED,
    }
    for name in ("pixels", *QUANTITIES):
        first, second = a.vector(name), b.vector(name)
        pair["relative"][name] = relative(first - second, second)
        pair["max_abs"][name] = float(np.abs(first - second).max())
        pair["bits"] = pair["bits"] and bool(np.array_equal(first, second))
    loss_a, loss_b = facts_a["losses"][0], facts_b["losses"][0]
    pair["relative"]["loss"] = abs(loss_a - loss_b) / abs(loss_b)
    return pair


def _distance(a: Dump, b: Dump, facts_a: BackendFacts, facts_b: BackendFacts, step: int) -> Distance:
    """Distance of the weights after `step` steps, as a share of the way they have come, and of the loss, nats."""
    first, second = a.vector(f"weights_{step}"), b.vector(f"weights_{step}")
    travelled = second - b.vector("weights_0")
    return {
        "weights": relative(first - second, travelled),
        "loss": abs(facts_a["losses"][step - 1] - facts_b["losses"][step - 1]),
    }


def _drifted(steps: Mapping[str, Distance], chaos: Chaos) -> str:
    """The first step after which weights lie farther apart than chaos explains, in words; empty if there is none."""
    for step, distance in steps.items():
        drifts = [as_float(draw["weights"][step]) for draw in chaos["draws"]]
        largest = max(drifts, default=math.inf)
        weights = as_float(distance["weights"])
        if not weights <= _STEPS_SAFETY * largest:
            return f"weights after {step} steps, {weights:.1e} of the way apart, perturbed runs {largest:.1e}"
    return ""


def _verdict(pair: Pair, suspects: list[Suspect], judgement: _Judgement, precision: str) -> tuple[str, str]:
    """The verdict on the pair: one of the outcomes, and the same in words with the reason."""
    for same, what in ((pair["start"], "initial weights"), (pair["batches"], "batches")):
        if not same:
            return DIFFERS, f"{DIFFERS}: {what}"
    if pair["bits"] and pair["settled"]:
        return IDENTICAL, IDENTICAL
    if suspects:
        return DIFFERS, "; ".join(f"{DIFFERS}: {_in_words(suspect)}" for suspect in suspects)
    if not judgement.reference:
        return NOT_JUDGED, f"{NOT_JUDGED}: no float64 reference"
    if pair["drifted"]:
        return DIFFERS, f"{DIFFERS}: {pair['drifted']}; {known_differences.UNKNOWN}"
    if not pair["settled"]:
        return NOT_JUDGED, f"{NOT_JUDGED}: rounding settled the batch norms on other powers of two"
    if judgement.hidden:
        return NOT_JUDGED, f"{NOT_JUDGED}: {_hidden_in_words(judgement.hidden)}"
    return WITHIN_ROUNDING, f"within {precision} rounding"


def _hidden_in_words(hidden: Mapping[str, tuple[int, int]]) -> str:
    names = " and ".join(name.replace("_", " ") for name in hidden)
    layers = " and ".join(f"{few} of {all_} of {name.replace('_', ' ')}" for name, (few, all_) in hidden.items())
    return (
        f"rounding alone moves {names} by more than {WIDEST:.0%}; what it moves less is within rounding, in layers "
        f"{layers}"
    )


def _in_words(suspect: Suspect) -> str:
    error, tolerance = suspect["error"], suspect["tolerance"]
    beyond = f"{error:.1e} relative (rounding: {tolerance:.1e}) " if error is not None else ""
    return (
        f"{suspect['layer']} ({suspect['type']}, {suspect['backend']}), {beyond}"
        f"in {suspect['seen_in'].replace('_', ' ')}; {suspect['cause']}"
    )


def _chaos(facts: Mapping[str, BackendFacts]) -> Chaos:
    """The perturbed runs of the backend that made them."""
    for name, fact in facts.items():
        if fact["chaos"]:
            return {"backend": name, "draws": fact["chaos"]}
    return {"backend": "", "draws": []}


def _checkpoints(dumps: _Dumps, facts: Mapping[str, BackendFacts]) -> dict[str, dict[str, Exchange]]:
    """By saver and loader: whether the state is the same, and how far apart outputs and the resumed step are."""
    exchanges: dict[str, dict[str, Exchange]] = {}
    for loader, dump in dumps.items():
        for saver, loaded in dump.loaded.items():
            if saver in facts:
                exchanges.setdefault(saver, {})[loader] = _exchange(facts[saver]["resumed"], loaded)
    return exchanges


def _exchange(saved: Resumed, loaded: Loaded) -> Exchange:
    if "error" in loaded:
        return {"error": loaded["error"]}
    return {
        "loads_as_it_is": loaded["loads_as_it_is"],
        "same_state": saved["state"] == loaded["state"],
        "outputs_max_abs": _gap(saved["outputs"], loaded["outputs"]),
        "resumed_loss": abs(saved["resumed_loss"] - loaded["resumed_loss"]),
        "resumed_outputs_max_abs": _gap(saved["resumed_outputs"], loaded["resumed_outputs"]),
    }


def _gap(first: list[list[float]], second: list[list[float]]) -> float:
    return float(np.abs(np.array(first) - np.array(second)).max())


def _backend_findings(dump: Dump, facts: BackendFacts) -> BackendFindings:
    return {
        "start": facts["start"],
        "batches": facts["batches"],
        "losses": [*facts["losses"]],
        "repeats_itself": facts["repeats_itself"],
        "steps_s": facts["steps_s"],
        "started": facts["started"],
        "ended": facts["ended"],
        "environment": facts["environment"],
        "determinism": dump.determinism,
    }
