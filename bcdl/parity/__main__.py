"""python -m bcdl.parity: do the backends compute the same model? `nox -s parity` runs all of it.

`dump` writes what the backend of this environment computes, `reference` the same in float64 where this
backend's float64 is sound, `exchange` loads every backend's checkpoints, `determinism` times a backend that does not
repeat itself against the same made deterministic (`pace` is one such process), and `join`, which needs no
Keras, turns the dumps into findings, tables and a picture.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bcdl import backends
from bcdl.errors import UsageError, program, run_command
from bcdl.machine import hardware
from bcdl.parity import judge, known_differences
from bcdl.parity.dumps import dump_of, units_of
from bcdl.parity.findings import append_finding
from bcdl.parity.settings import REFERENCE, UNIT_ROUNDOFF, Plan
from bcdl.records import log, runs, store
from bcdl.report import page
from bcdl.settings import models
from bcdl.settings.options import DEFAULT_RESULTS, DEVICES, check_backend, configured_backend, one_of, whole
from bcdl.worker.session import start_backend


def main() -> int:
    arguments = _parse()
    results = Path(arguments.results)
    store.check_writable(results)
    plans = _plans(arguments)
    if arguments.step == "pace":
        return _pace(plans[0], arguments.deterministic)
    return _STEPS[arguments.step](plans, results)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program("parity"), description=__doc__)
    parser.add_argument("step", nargs="?", default="dump", help=f"one of {', '.join(STEP_NAMES)}; default dump")
    parser.add_argument("--models", default=",".join(models.MODELS), help="model names separated by commas")
    parser.add_argument("--image-size", default="96", help="height and width of the images, pixels; default 96")
    parser.add_argument("--batch-size", default="4", help="images a batch; default 4")
    parser.add_argument("--seed", default="0", help="of weights, order and augmentation; default 0")
    parser.add_argument("--precision", default="float32", help=f"one of {', '.join(UNIT_ROUNDOFF)}; default float32")
    parser.add_argument("--device", default=hardware.default_device(), help="cpu or gpu")
    parser.add_argument("--draws", default="8", help="perturbed runs that tell the size of rounding; default 8")
    parser.add_argument("--deterministic", action="store_true", help="of step pace: make the backend repeat itself")
    parser.add_argument("--results", default=DEFAULT_RESULTS, help="folder of dumps, findings and tables")
    arguments = parser.parse_args()
    one_of("step", arguments.step, STEP_NAMES)
    return arguments


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    rows = [models.find(name.strip()) for name in arguments.models.split(",")]
    size = whole("--image-size", arguments.image_size)
    models.check_sizes(rows, size)
    precision = one_of("--precision", arguments.precision, tuple(UNIT_ROUNDOFF))
    device = one_of("--device", arguments.device, DEVICES)
    if reason := hardware.lacks(device, precision):
        raise UsageError(f"--precision {precision} is not run on this {device}: {reason}")
    shared: dict[str, Any] = {
        "image_size": size,
        "batch_size": whole("--batch-size", arguments.batch_size),
        "seed": whole("--seed", arguments.seed, least=0),
        "precision": precision,
        "device": device,
        "draws": whole("--draws", arguments.draws, least=0),
    }
    return [Plan(model=row.name, **shared) for row in rows]


def _dump(plans: list[Plan], results: Path) -> int:
    adapter = _backend(plans[0], plans[0].precision)
    _write_units(results, plans[0].precision, adapter.name, _keras_module("layer_checks").check())
    step = _keras_module("dump").dump

    def one(plan: Plan) -> None:
        # One backend is enough for the size of chaos: the one that gives the reference, so that one shows both.
        perturbed = _gave_reference(results, plan, adapter.name)
        step(plan, adapter, dump_of(results, plan, adapter.name), perturbed)

    return _each(plans, adapter.name, "dump", one)


def _reference(plans: list[Plan], results: Path) -> int:
    adapter = _backend(plans[0], "float64")
    units = _keras_module("layer_checks")
    # What is known to differ and meets no model says nothing of float64.
    errors = {row: error for row, error in units.check().items() if not known_differences.is_known(row, adapter.name)}
    worst = max(errors, key=errors.__getitem__)
    if errors[worst] > units.REFERENCE_TOLERANCE:
        print(
            f"no reference from {adapter.name}: its float64 is off by {errors[worst]:.1e} ({worst}), more than "
            f"{units.REFERENCE_TOLERANCE:g}"
        )
        return 0
    step = _keras_module("reference").dump
    return _each(
        plans,
        adapter.name,
        "float64 reference",
        lambda plan: step(plan, adapter, dump_of(results, plan, REFERENCE), errors[worst]),
    )


def _exchange(plans: list[Plan], results: Path) -> int:
    adapter = _backend(plans[0], plans[0].precision)
    checkpoints, trunk = _keras_module("checkpoints"), _keras_module("instrumented")

    def one(plan: Plan) -> None:
        dumps = {name: dump_of(results, plan, name) for name in backends.NAMES}
        files = {name: dump.checkpoint for name, dump in dumps.items() if dump.exists}
        if adapter.name not in files:
            raise UsageError(f"no dump of {plan.model} by {adapter.name} in {results}: run python -m bcdl.parity first")
        batch = checkpoints.next_batch(trunk.build(plan))
        dumps[adapter.name].write_loaded(checkpoints.load_all(files, batch))

    return _each(plans, adapter.name, "checkpoints", one)


def _determinism(plans: list[Plan], results: Path) -> int:
    adapter = _backend(plans[0], plans[0].precision)
    determinism = _keras_module("determinism")
    for plan in plans:
        dump = dump_of(results, plan, adapter.name)
        if determinism.is_repeatable(dump, adapter.name):
            print(f"{plan.model} on {adapter.name}: repeats itself to the bit, at no cost")
            continue
        found = determinism.cost(plan)
        dump.write_determinism(found)
        print(f"{plan.model} on {adapter.name}: made deterministic, a step takes {found['ratio']:.2f} times as long")
    return 0


def _pace(plan: Plan, deterministic: bool) -> int:
    name = configured_backend()
    check_backend(name)
    if deterministic:
        backends.load(name).make_deterministic()
    adapter = _backend(plan, plan.precision)
    print(json.dumps(_keras_module("determinism").pace(plan, adapter)))
    return 0


def _join(plans: list[Plan], results: Path) -> int:
    run = runs.new_run_id()
    for notice in log.repair(results):
        print(notice)
    for plan in plans:
        found = judge.join(results, plan, run)
        append_finding(results, hardware.machine_name(plan.device), found)
        for name, pair in found.pairs.items():
            print(f"{plan.model}, {name}: {pair['verdict']}")
    for line in page.build(results):
        print(line)
    return 0


_STEPS: dict[str, Callable[[list[Plan], Path], int]] = {
    "dump": _dump,
    "reference": _reference,
    "exchange": _exchange,
    "determinism": _determinism,
    "join": _join,
}
STEP_NAMES = (*_STEPS, "pace")


def _backend(plan: Plan, precision: str) -> backends.Backend:
    """The adapter of this environment's backend, configured, and Keras set up for `precision`."""
    name = configured_backend()
    check_backend(name)
    return start_backend(name, plan.device, precision)


def _keras_module(name: str) -> ModuleType:
    """A module that imports Keras, which must come after the adapter has configured its framework."""
    return importlib.import_module(f"bcdl.parity.worker.{name}")


def _each(plans: list[Plan], backend: str, what: str, step: Callable[[Plan], Any]) -> int:
    for place, plan in enumerate(plans, start=1):
        print(f"[{place}/{len(plans)}] {plan.model} on {backend}: {what}", flush=True)
        step(plan)
        importlib.import_module("keras").backend.clear_session()
        gc.collect()
    return 0


def _gave_reference(results: Path, plan: Plan, backend: str) -> bool:
    reference = dump_of(results, plan, REFERENCE)
    return reference.exists and bool(reference.facts["backend"] == backend)


def _write_units(results: Path, precision: str, backend: str, errors: dict[str, float]) -> None:
    file = units_of(results, precision, backend)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(errors), encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
