"""Dumps into findings: differences, tolerances and a verdict for each model and pair. Never imports Keras."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.machine import hardware
from bcdl.parity import known_differences
from bcdl.parity.dumps import Dump, dump_of, relative, units_of
from bcdl.parity.findings import DIFFERS, IDENTICAL, NOT_JUDGED, WITHIN_ROUNDING, Finding, pair_name
from bcdl.parity.settings import REFERENCE, STEPS, UNIT_ROUNDOFF, Plan

# What is compared: a vector of the dumps each, in the order in which a fault shows first.
QUANTITIES = ("outputs", "training_outputs", "statistics", "frozen_gradient", "gradient")
# Parts smaller than this share of their vector are zero but for rounding: a bias before a batch norm has no gradient.
_NEGLIGIBLE = 1e-6
_WALKS = ("inference_layers", "training_layers", "statistics", "frozen_gradient", "gradient")
# Those that begin with settled batch norms, and say nothing where these were settled otherwise.
_SETTLED = ("outputs", "inference_layers", "frozen_gradient")
# Without these nothing is proven: forward in both modes, what training writes, and backward.
_DECISIVE = ("outputs", "training_outputs", "statistics", "frozen_gradient")
# A quantity that rounding moves by more than this share can't tell a fault from rounding.
WIDEST = 0.5
# Runs of a few steps may lie this many times farther apart than the farthest of the perturbed ones: those had their
# pixels rounded once, not every operation. At a late step, where chaos has taken all, this can't fail; at the first
# ones it can.
_STEPS_SAFETY = 4.0
_NO_LAYER: dict[str, Any] = {"layer": "no single layer", "type": "", "error": None, "tolerance": None}


def join(results: Path, plan: Plan, run: str) -> Finding:
    """The finding from every dump there is of the plan; UsageError where there are fewer than two."""
    dumps = {name: dump_of(results, plan, name) for name in backends.NAMES}
    dumps = {name: dump for name, dump in dumps.items() if dump.exists}
    if len(dumps) < 2:
        raise UsageError(
            f"parity of {plan.model} needs the dumps of two backends; there are {', '.join(dumps) or 'none'} in "
            f"{results}: run python -m bcdl.parity with each backend first"
        )
    facts = {name: dump.facts for name, dump in dumps.items()}
    _check_comparable(facts)
    reference = dump_of(results, plan, REFERENCE)
    judged = _against(reference, dumps, facts, plan) if reference.exists else {}
    pairs = {
        pair_name(a, b): _pair(dumps[a], dumps[b], facts[a], facts[b]) for a, b in itertools.combinations(dumps, 2)
    }
    suspects = judged.get("suspects", {})
    chaos = _chaos(facts)
    for name, pair in pairs.items():
        pair["drifted"] = _drifted(pair["steps"], chaos)
        of_pair = [suspects[backend] for backend in name.split("-") if backend in suspects]
        pair["verdict"] = _verdict(pair, of_pair, judged.get("tolerance", {}), plan.precision)
    return Finding(
        run=run,
        plan=plan.to_dict(),
        dataset=next(iter(facts.values()))["dataset"],
        backends={name: _kept(dumps[name], fact) for name, fact in facts.items()},
        reference=judged.get("reference"),
        tolerance=judged.get("tolerance", {}),
        errors=judged.get("errors", {}),
        suspects=suspects,
        pairs=pairs,
        chaos=chaos,
        checkpoints=_checkpoints(dumps, facts),
        units={name: json.loads(units_of(results, plan.precision, name).read_text("utf-8")) for name in dumps},
        lacking={precision: why for precision in UNIT_ROUNDOFF if (why := hardware.lacks(plan.device, precision))},
    )


def _check_comparable(facts: dict[str, dict[str, Any]]) -> None:
    for key in ("plan", "dataset"):
        if len({json.dumps(fact[key], sort_keys=True) for fact in facts.values()}) > 1:
            raise UsageError(f"the dumps of {', '.join(facts)} were made with another {key}: make them anew")


def _against(reference: Dump, dumps: dict[str, Dump], facts: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Each backend against the float64 reference: errors, tolerances, and who is beyond them, where."""
    exact = reference.facts
    if exact["plan"] != plan.to_dict():
        raise UsageError(f"the reference of {plan.model} was made with other settings: make it anew")
    rounding = {name: exact["rounding"]["whole"][name] for name in QUANTITIES} | {"loss": exact["rounding"]["loss"]}
    tolerance = {name: max(size, plan.least_tolerance) for name, size in rounding.items()}
    errors, suspects = {}, {}
    for name, dump in dumps.items():
        skipped = () if facts[name]["settled"] == exact["settled"] else _SETTLED
        errors[name] = {q: _relative(dump, reference, q) for q in QUANTITIES if q not in skipped}
        errors[name]["loss"] = abs(facts[name]["losses"][0] - exact["loss"]) / abs(exact["loss"])
        beyond = [quantity for quantity, error in errors[name].items() if not error <= tolerance[quantity]]
        if beyond:
            walks = tuple(walk for walk in _WALKS if walk not in skipped)
            suspect = _suspect(dump, reference, exact, walks, facts[name]["layers"], plan.least_tolerance)
            suspect = suspect or {**_NO_LAYER, "seen_in": beyond[0]}
            suspects[name] = {**suspect, "backend": name, "cause": known_differences.cause_of(suspect["type"], name)}
    return {
        "reference": {key: exact[key] for key in ("backend", "worst_unit", "gradient_check", "environment")},
        "tolerance": tolerance,
        "errors": errors,
        "suspects": suspects,
    }


def _relative(dump: Dump, reference: Dump, quantity: str) -> float:
    expected = reference.vector(quantity)
    return relative(dump.vector(quantity) - expected, expected)


def _suspect(
    dump: Dump,
    reference: Dump,
    exact: dict[str, Any],
    walks: tuple[str, ...],
    types: dict[str, str],
    least: float,
) -> dict[str, Any] | None:
    """The first layer beyond the tolerance of its own, in the first of the walks that shows one.

    `exact` holds the reference's facts; `least` is the tolerance of a layer that rounding hardly moves.
    """
    for walk in walks:
        names, sizes = zip(*exact["segments"][walk], strict=True)
        given, expected = dump.vector(walk), reference.vector(walk)
        negligible = _NEGLIGIBLE * float(np.linalg.norm(expected))
        edges = np.cumsum([0, *sizes])
        # A wrong backward pass spoils what lies before it, so that the fault is nearest the outputs.
        order = reversed(range(len(names))) if walk.endswith("gradient") else range(len(names))
        for place in order:
            part = slice(edges[place], edges[place + 1])
            if np.linalg.norm(expected[part]) <= negligible:
                continue
            error = relative(given[part] - expected[part], expected[part])
            allowed = max(exact["rounding"]["parts"][walk][place], least)
            if not error <= allowed:
                layer = names[place].split("/")[-2] if "/" in names[place] else names[place]
                kind = types.get(layer, "layer")
                return {"layer": layer, "type": kind, "seen_in": walk, "error": error, "tolerance": allowed}
    return None


def _pair(a: Dump, b: Dump, facts_a: dict[str, Any], facts_b: dict[str, Any]) -> dict[str, Any]:
    """How far two backends are apart."""
    found: dict[str, Any] = {key: facts_a[key] == facts_b[key] for key in ("start", "food", "settled")}
    found |= {"relative": {}, "max_abs": {}, "bits": True}
    for name in ("pixels", *QUANTITIES):
        first, second = a.vector(name), b.vector(name)
        found["relative"][name] = relative(first - second, second)
        found["max_abs"][name] = float(np.abs(first - second).max())
        found["bits"] = found["bits"] and bool(np.array_equal(first, second))
    losses = facts_a["losses"], facts_b["losses"]
    found["relative"]["loss"] = abs(losses[0][0] - losses[1][0]) / abs(losses[1][0])
    found["bits"] = found["bits"] and losses[0] == losses[1]
    found["steps"] = {str(n): _distance(a, b, losses, n) for n in STEPS}
    return found


def _distance(a: Dump, b: Dump, losses: tuple[list[float], list[float]], step: int) -> dict[str, float]:
    """Of the weights after some steps, as a share of the way they have come, and of the loss at that step, nats."""
    first, second = a.vector(f"weights_{step}"), b.vector(f"weights_{step}")
    travelled = second - b.vector("weights_0")
    return {"weights": relative(first - second, travelled), "loss": abs(losses[0][step - 1] - losses[1][step - 1])}


def _verdict(pair: dict[str, Any], suspects: list[dict[str, Any]], tolerance: dict[str, float], precision: str) -> str:
    for key, what in (("start", "initial weights"), ("food", "batches")):
        if not pair[key]:
            return f"{DIFFERS}: {what}"
    if pair["bits"] and pair["settled"]:
        return IDENTICAL
    if suspects:
        return "; ".join(f"{DIFFERS}: {_named(suspect)}" for suspect in suspects)
    if not tolerance:
        return f"{NOT_JUDGED}: no float64 reference"
    if pair["drifted"]:
        return f"{DIFFERS}: {pair['drifted']}; {known_differences.UNKNOWN}"
    if not pair["settled"]:
        return f"{NOT_JUDGED}: rounding settled the batch norms on other powers of two"
    hidden = [quantity.replace("_", " ") for quantity in _DECISIVE if not tolerance[quantity] <= WIDEST]
    if hidden:
        return f"{NOT_JUDGED}: rounding alone moves {' and '.join(hidden)} by more than {WIDEST:.0%}"
    return WITHIN_ROUNDING.format(precision)


def _named(suspect: dict[str, Any]) -> str:
    size = f"{suspect['error']:.1e} relative where {suspect['tolerance']:.1e} is rounding, " if suspect["error"] else ""
    return (
        f"{suspect['layer']} ({suspect['type']}, {suspect['backend']}), {size}"
        f"in {suspect['seen_in'].replace('_', ' ')}; {suspect['cause']}"
    )


def _chaos(facts: dict[str, Any]) -> dict[str, Any]:
    """The perturbed runs of the backend that made them."""
    made = {name: fact["chaos"] for name, fact in facts.items() if fact["chaos"]}
    if not made:
        return {}
    name, draws = next(iter(made.items()))
    return {"backend": name, "draws": draws}


def _drifted(steps: dict[str, dict[str, float]], chaos: dict[str, Any]) -> str:
    """The first step after which weights lie farther apart than chaos explains, in words; empty where none."""
    for step, distance in steps.items():
        largest = max((draw["weights"][step] for draw in chaos.get("draws", [])), default=math.inf)
        if not distance["weights"] <= _STEPS_SAFETY * largest:
            size = f"{distance['weights']:.1e} of the way apart, perturbed runs {largest:.1e}"
            return f"weights after {step} steps, {size}"
    return ""


def _checkpoints(dumps: dict[str, Dump], facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By saver and loader: is the state the same, how far apart are outputs and the resumed step."""
    found: dict[str, dict[str, Any]] = {}
    for loader, dump in dumps.items():
        for saver, loaded in dump.loaded.items():
            if saver in facts:
                found.setdefault(saver, {})[loader] = _exchanged(facts[saver]["resumed"], loaded)
    return found


def _exchanged(saved: dict[str, Any], loaded: dict[str, Any]) -> dict[str, Any]:
    if "error" in loaded:
        return loaded
    return {
        "loads_as_it_is": loaded["loads_as_it_is"],
        "same_state": saved["state"] == loaded["state"],
        "outputs_max_abs": _gap(saved["outputs"], loaded["outputs"]),
        "resumed_loss": abs(saved["resumed_loss"] - loaded["resumed_loss"]),
        "resumed_outputs_max_abs": _gap(saved["resumed_outputs"], loaded["resumed_outputs"]),
    }


def _gap(first: list[list[float]], second: list[list[float]]) -> float:
    return float(np.abs(np.array(first) - np.array(second)).max())


def _kept(dump: Dump, fact: dict[str, Any]) -> dict[str, Any]:
    keys = ("start", "food", "losses", "repeats_itself", "steps_s", "started", "ended", "environment")
    return {**{key: fact[key] for key in keys}, "determinism": dump.determinism}
